//! The page's text. Whatever did not come from here goes through [`Text`], which escapes it.

use std::fmt::{self, Display, Write};

use diswall::feed::nats::Statistics;

use super::gather::{Gathered, ShownBan};
use crate::dynfw::{LICENCE, Shown};
use crate::revoke::{Revoked, UNTOLD};

/// How it looks. On a phone a table's row is a block of its own, each cell behind its column's name.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1d2125;--faint:#586069;--line:#d5dade;--ground:#fff;--box:#f1f3f5;--link:#0a58a8}
@media(prefers-color-scheme:dark){:root{--text:#e3e6e8;--faint:#a5aeb6;--line:#3c4248;--ground:#16191c;--box:#23282c;\
--link:#82baf3}}
body{font:16px/1.5 system-ui,sans-serif;max-width:64em;margin:0 auto;padding:1em;color:var(--text);\
background:var(--ground);overflow-wrap:anywhere}
h1{font-size:1.5em;margin:.4em 0}h2{font-size:1.2em;margin:1.8em 0 .4em}a{color:var(--link)}.none{color:var(--faint)}
table{border-collapse:collapse;width:100%}th{color:var(--faint);font-size:.9em;font-weight:600;overflow-wrap:normal}
td,th{text-align:left;vertical-align:top;padding:.35em 1em .35em 0;border-bottom:1px solid var(--line)}
td:last-child,th:last-child{padding-right:0}td:first-child{min-width:8em}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
pre{font:.95em/1.5 ui-monospace,monospace;background:var(--box);padding:.8em;border-radius:.3em;white-space:pre-wrap}
form{display:flex;flex-wrap:wrap;gap:.6em;align-items:end;margin:1em 0}label{display:grid;flex:0 1 24em;min-width:0}
input,button{font:inherit;color:inherit;min-width:0;padding:.35em .7em;border:1px solid var(--faint);\
border-radius:.3em;background:var(--ground)}
button{background:var(--box);cursor:pointer}[role=alert]{font-weight:600}
@media(max-width:40em){table,tbody{display:block}thead{display:none}
tr{display:block;padding:.6em 0;border-bottom:1px solid var(--line)}
td,td.number{display:flex;gap:1em;justify-content:space-between;border:0;padding:.1em 0;text-align:right;\
white-space:normal}td::before{content:attr(data-column);flex:none;max-width:50%;text-align:left;color:var(--faint)}}";

/// Escapes what stands in it.
struct Text<T>(T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Letters and digits as they are, everything else in per cent.
struct Query<'t>(&'t str);

impl Display for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => f.write_char(char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

fn document(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>diswall-hub</title><link rel=\"stylesheet\" href=\"/style.css\"></head>\
         <body><main>{body}</main></body></html>"
    )
}

/// Asks for the token.
pub fn login(wrong: bool) -> String {
    let told = if wrong { "<p role=\"alert\">That is not the token.</p>" } else { "" };
    document(&format!(
        "<h1>diswall-hub</h1>{told}<form method=\"post\" action=\"/login\"><label>Token <input type=\"password\" \
         name=\"token\" autocomplete=\"current-password\" autofocus></label> <button>Log in</button></form>"
    ))
}

/// One sentence.
pub fn message(text: &str) -> String {
    document(&format!("<h1>diswall-hub</h1><p role=\"status\">{}</p><p><a href=\"/\">Back</a></p>", Text(text)))
}

/// What a revocation did.
pub fn revoked(login: &str, done: Revoked) -> String {
    message(&format!(
        "{login} is revoked: {} taken back, {} ended{}.",
        counted(done.claims as u64, "report", "reports"),
        counted(done.ended as u64, "ban", "bans"),
        if done.is_untold { format!("; {UNTOLD}") } else { String::new() }
    ))
}

/// Whether it is meant.
pub fn ask_to_revoke(login: &str, form: &str) -> String {
    let login = Text(login);
    document(&format!(
        "<h1>Revoke {login}?</h1><p>Everything that this login reported is taken back, from every router, and it is \
         believed no more. Its permissions on nats-server stay until you take them away there.</p><form \
         method=\"post\" action=\"/revoke\"><input type=\"hidden\" name=\"login\" value=\"{login}\"><input \
         type=\"hidden\" name=\"form\" value=\"{}\"><button>Revoke {login}</button> <a href=\"/\">Cancel</a></form>",
        Text(form)
    ))
}

/// The whole page.
pub fn overview(all: &Gathered) -> String {
    let banned = match all.bans {
        0 => "No address is banned".to_owned(),
        1 => "1 address is banned".to_owned(),
        many => format!("{} addresses are banned", Number(many)),
    };
    let hourly = if all.hourly == 0 { "none was".to_owned() } else { counted(all.hourly, "was", "were") };
    let mut body = format!("<h1>diswall-hub</h1><p>{banned}; {hourly} in the last hour.</p>");
    why(&mut body, all);
    reporters(&mut body, all);
    bans(&mut body, "Newest bans", &all.newest);
    bans(&mut body, "Most stubborn", &all.stubborn);
    routers(&mut body, all);
    relays(&mut body, all);
    document(&body)
}

fn why(body: &mut String, all: &Gathered) {
    let (asked, answer) = all.answer.clone().unwrap_or_default();
    let _ = write!(
        body,
        "<section aria-label=\"Why\"><h2>Why is this address banned?</h2><form><label>Address <input name=\"address\" \
         value=\"{}\"></label> <button>Look</button></form>",
        Text(asked)
    );
    if !answer.is_empty() {
        let _ = write!(body, "<pre>{}</pre>", Text(answer.trim_end()));
    }
    body.push_str("</section>");
}

/// A column: its name, and whether it has numbers, or other words that stand right and in one line.
type Column = (&'static str, bool);

/// A table, or that there is nothing to show. Roles are named, for on a phone it is no table to a browser.
fn table(body: &mut String, name: &str, title: &str, columns: &[Column], rows: &[Vec<String>]) {
    let _ = write!(body, "<section aria-label=\"{name}\"><h2>{title}</h2>");
    if rows.is_empty() {
        body.push_str("<p class=\"none\">None yet.</p></section>");
        return;
    }
    let class = |number: bool| if number { " class=\"number\"" } else { "" };
    let _ = write!(body, "<table role=\"table\" aria-label=\"{name}\"><thead><tr role=\"row\">");
    for (column, number) in columns {
        let _ = write!(body, "<th role=\"columnheader\" scope=\"col\"{}>{column}</th>", class(*number));
    }
    body.push_str("</tr></thead><tbody>");
    for row in rows {
        body.push_str("<tr role=\"row\">");
        for (cell, (column, number)) in row.iter().zip(columns) {
            let _ = write!(body, "<td role=\"cell\" data-column=\"{column}\"{}>{cell}</td>", class(*number));
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></section>");
}

/// What is there and not in the table.
fn more(body: &mut String, count: u64) {
    if count > 0 {
        let _ = write!(body, "<p class=\"none\">And {} more.</p>", Number(count));
    }
}

fn reporters(body: &mut String, all: &Gathered) {
    let rows = all.reporters.iter().map(|(login, reporter)| {
        let (bans, reports) = reporter.reasons.values().fold((0, 0), |all, each| (all.0 + each.0, all.1 + each.1));
        let of = |(reason, (bans, reports)): (&String, &(u32, u32))| {
            format!("{} {}", Text(if reason.is_empty() { "closed port" } else { reason }), of_all(*bans, *reports))
        };
        let reasons: Vec<String> = reporter.reasons.iter().map(of).collect();
        let action = if reporter.revoked {
            "revoked".to_owned()
        } else {
            format!("yes <a href=\"/revoke?login={}\">Revoke</a>", Query(login))
        };
        vec![Text(login).to_string(), of_all(bans, reports), reasons.join(", "), action]
    });
    let columns = [("Login", false), ("Banned", true), ("Reasons", false), ("Believed", true)];
    let rows: Vec<_> = rows.collect();
    let title = "Reporters: bans for all, of the addresses that each reported in the last hour";
    table(body, "Reporters", title, &columns, &rows);
    more(body, all.more_reporters);
}

fn bans(body: &mut String, title: &str, bans: &[ShownBan]) {
    let rows: Vec<_> = bans
        .iter()
        .map(|row| {
            let address = format!("<a href=\"/?address={}\">{}</a>", Query(&row.ip.to_string()), Text(row.ip));
            let reason = if row.ban.reason.is_empty() { "closed port" } else { &row.ban.reason };
            let count = Number(row.ban.count.into()).to_string();
            vec![address, Text(reason).to_string(), format!("{} ago", span(row.ago)), span(row.left), count]
        })
        .collect();
    let columns = [("Address", false), ("Reason", false), ("Banned", true), ("Ends in", true), ("Bans before", true)];
    table(body, title, title, &columns, &rows);
}

fn routers(body: &mut String, all: &Gathered) {
    let rows: Vec<_> = all
        .routers
        .iter()
        .map(|seen| {
            let number = |count: fn(&Statistics) -> u64| {
                seen.hour.as_ref().map_or_else(|| "–".to_owned(), |hour| Number(count(hour)).to_string())
            };
            vec![
                Text(&seen.name).to_string(),
                format!("{} ago", span(seen.ago)),
                number(|hour| hour.banned),
                number(|hour| hour.packets_dropped),
            ]
        })
        .collect();
    let columns =
        [("Login and name", false), ("Heard of", true), ("Banned in its last hour", true), ("Packets dropped", true)];
    table(body, "Routers", "Routers", &columns, &rows);
    more(body, all.more_routers);
}

/// Only where there is one.
fn relays(body: &mut String, all: &Gathered) {
    let row = |relay: &Shown| {
        let state = match relay.follows {
            Some(seconds) => format!("followed for {}, serial {}", span(seconds), relay.serial),
            None => Text(relay.state()).to_string(),
        };
        vec![
            Text(&relay.host).to_string(),
            state,
            Number(relay.addresses).to_string(),
            Number(relay.routers).to_string(),
        ]
    };
    let rows: Vec<_> = all.relays.iter().map(row).collect();
    if !rows.is_empty() {
        let columns = [("Hub", false), ("Sentinel", false), ("Addresses", true), ("Routers", true)];
        table(body, "DynFW", "DynFW, passed on to routers", &columns, &rows);
        let _ = write!(body, "<p class=\"none\">{LICENCE}.</p>");
    }
}

/// Digits in groups of three.
struct Number(u64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

fn of_all(some: u32, all: u32) -> String {
    format!("{} of {}", Number(some.into()), Number(all.into()))
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", Number(number), if number == 1 { one } else { many })
}

/// Seconds in the largest unit that fits.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let shown = [0, 7, 999, 1000, 1_234_567].map(|number| Number(number).to_string());
        assert_eq!(shown, ["0", "7", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "ban", "bans"), counted(2000, "ban", "bans")], ["1 ban", "2,000 bans"]);
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let evil = "\"><script>alert('x')</script>";
        for page in [message(evil), ask_to_revoke(evil, evil)] {
            assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        }
        let mut all = Gathered { answer: Some((evil.into(), evil.into())), ..Gathered::default() };
        all.reporters.insert(evil.into(), super::super::gather::Reporter::default());
        all.relays.push(Shown { host: evil.into(), why: evil.into(), ..Shown::default() });
        let page = overview(&all);
        assert!(!page.contains("<script") && page.contains("login=%22%3E%3Cscript"), "{page}");
    }
}
