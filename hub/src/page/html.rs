//! The page's text. Whatever did not come from here goes through [`Text`], which escapes it.

use std::fmt::{self, Display, Write};

use diswall::feed::nats::Statistics;

use super::gather::{Gathered, Row};

/// How it looks.
pub const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;\
    color:#222;background:#fff}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse;\
    width:100%}td,th{text-align:left;padding:.2em .8em .2em 0;border-bottom:1px solid #ddd;vertical-align:top}\
    pre{background:#f4f4f4;padding:.8em;white-space:pre-wrap}.none{color:#666}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}td,th{border-color:#444}pre{background:#2a2a2a}\
    a{color:#8bf}.none{color:#999}}";

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
         <body>{body}</body></html>"
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
    let mut body =
        format!("<h1>diswall-hub</h1><p>{} addresses are banned; {} were in the last hour.</p>", all.bans, all.hourly);
    why(&mut body, all);
    reporters(&mut body, all);
    bans(&mut body, "Newest bans", &all.newest);
    bans(&mut body, "Most stubborn", &all.stubborn);
    routers(&mut body, all);
    document(&body)
}

fn why(body: &mut String, all: &Gathered) {
    let (asked, answer) = all.answer.clone().unwrap_or_default();
    let _ = write!(
        body,
        "<h2>Why is this address banned?</h2><form><label>Address <input name=\"address\" value=\"{}\"></label> \
         <button>Look</button></form>",
        Text(asked)
    );
    if !answer.is_empty() {
        let _ = write!(body, "<pre>{}</pre>", Text(answer));
    }
}

/// A table, or that there is nothing to show.
fn table(body: &mut String, title: &str, columns: &[&str], rows: &[Vec<String>]) {
    let _ = write!(body, "<h2>{title}</h2>");
    if rows.is_empty() {
        body.push_str("<p class=\"none\">None.</p>");
        return;
    }
    body.push_str("<table><tr>");
    for column in columns {
        let _ = write!(body, "<th>{column}</th>");
    }
    for row in rows {
        body.push_str("</tr><tr>");
        for cell in row {
            let _ = write!(body, "<td>{cell}</td>");
        }
    }
    body.push_str("</tr></table>");
}

/// What is there and not in the table.
fn more(body: &mut String, count: u64) {
    if count > 0 {
        let _ = write!(body, "<p class=\"none\">And {count} more.</p>");
    }
}

fn reporters(body: &mut String, all: &Gathered) {
    let rows = all.reporters.iter().map(|(login, reporter)| {
        let (bans, reports) = reporter.reasons.values().fold((0, 0), |all, each| (all.0 + each.0, all.1 + each.1));
        let of = |(reason, (bans, reports)): (&String, &(u32, u32))| {
            format!("{} {bans} of {reports}", Text(if reason.is_empty() { "closed port" } else { reason }))
        };
        let reasons: Vec<String> = reporter.reasons.iter().map(of).collect();
        let action = if reporter.revoked {
            "revoked".to_owned()
        } else {
            format!("<a href=\"/revoke?login={}\">Revoke</a>", Query(login))
        };
        vec![Text(login).to_string(), format!("{bans} of {reports}"), reasons.join(", "), action]
    });
    let rows: Vec<_> = rows.collect();
    let title = "Reporters: bans for all, of the addresses that each reported in the last hour";
    table(body, title, &["Login", "Banned", "Reasons", ""], &rows);
    more(body, all.more_reporters);
}

fn bans(body: &mut String, title: &str, bans: &[Row]) {
    let rows: Vec<_> = bans
        .iter()
        .map(|row| {
            let address = format!("<a href=\"/?address={}\">{}</a>", Query(&row.ip.to_string()), Text(row.ip));
            let reason = if row.ban.reason.is_empty() { "closed port" } else { &row.ban.reason };
            vec![address, Text(reason).to_string(), span(row.ago), span(row.left), row.ban.count.to_string()]
        })
        .collect();
    table(body, title, &["Address", "Reason", "Since", "Left", "Bans before"], &rows);
}

fn routers(body: &mut String, all: &Gathered) {
    let rows: Vec<_> = all
        .routers
        .iter()
        .map(|seen| {
            let number = |count: fn(&Statistics) -> u64| {
                seen.hour.as_ref().map_or(String::new(), |hour| count(hour).to_string())
            };
            vec![
                Text(&seen.name).to_string(),
                span(seen.ago),
                number(|hour| hour.banned),
                number(|hour| hour.packets_dropped),
            ]
        })
        .collect();
    table(body, "Routers", &["Login and name", "Heard of", "Banned in its last hour", "Packets dropped"], &rows);
    more(body, all.more_routers);
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
    fn nothing_from_outside_is_markup() {
        let evil = "\"><script>alert('x')</script>";
        for page in [message(evil), ask_to_revoke(evil, evil)] {
            assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        }
        let mut all = Gathered { answer: Some((evil.into(), evil.into())), ..Gathered::default() };
        all.reporters.insert(evil.into(), super::super::gather::Reporter::default());
        let page = overview(&all);
        assert!(!page.contains("<script") && page.contains("login=%22%3E%3Cscript"), "{page}");
    }
}
