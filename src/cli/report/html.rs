//! The report as one page of HTML that needs nothing else: no script, no picture, nothing from elsewhere; light and dark
//! as the reader's programs ask. Every text is escaped, whoever wrote it.

use super::{Block, longest};

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">\n<style>\
:root{color-scheme:light dark;--t:#1c2733;--b:#fff;--l:#c8d0d8;--s:#55626f;--a:#25639f}\
@media(prefers-color-scheme:dark){:root{--t:#dde4ea;--b:#14191e;--l:#3a444e;--s:#9aa7b3;--a:#7fb4ea}}\
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:52rem;background:var(--b);color:var(--t);\
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
.w{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--l);text-align:right;vertical-align:top}\
th:first-child,td:first-child{text-align:left;padding-left:0}th{color:var(--s);font-weight:600}\
.n{color:var(--s);font-size:.9rem}.r{width:45%}\
.r i{display:block;height:.9rem;margin-top:.3rem;background:var(--a);border-radius:2px}\
</style>\n<title>";

/// The page.
pub fn page(blocks: &[Block]) -> String {
    let mut out = String::with_capacity(16 * 1024);
    out.push_str(HEAD);
    for block in blocks {
        match block {
            Block::Title(title) => {
                escaped(&mut out, title);
                out.push_str("</title></head><body>\n");
                element(&mut out, "h1", title);
            }
            Block::Heading(heading) => element(&mut out, "h2", heading),
            Block::Words(words) => element(&mut out, "p", words),
            Block::Table(head, rows) => {
                out.push_str("<div class=\"w\"><table><tr>");
                head.iter().for_each(|title| element(&mut out, "th", title));
                out.push_str("</tr>\n");
                for row in rows {
                    out.push_str("<tr>");
                    for (column, cell) in row.cells.iter().enumerate() {
                        out.push_str("<td>");
                        escaped(&mut out, cell);
                        if column == 0 && !row.words.is_empty() {
                            out.push_str("<br><span class=\"n\">");
                            escaped(&mut out, &row.words);
                            out.push_str("</span>");
                        }
                        out.push_str("</td>");
                    }
                    out.push_str("</tr>\n");
                }
                out.push_str("</table></div>\n");
            }
            Block::Bars(bars) => {
                let longest = longest(bars);
                out.push_str("<div class=\"w\"><table>");
                for (label, length, figure) in bars {
                    out.push_str("<tr>");
                    element(&mut out, "td", label);
                    element(&mut out, "td", figure);
                    let share = u128::from(*length) * 100 / u128::from(longest);
                    out.push_str(&format!("<td class=\"r\"><i style=\"width:{share}%\"></i></td></tr>\n"));
                }
                out.push_str("</table></div>\n");
            }
        }
    }
    out.push_str("</body></html>\n");
    out
}

fn element(out: &mut String, name: &str, text: &str) {
    out.push_str(&["<", name, ">"].concat());
    escaped(out, text);
    out.push_str(&["</", name, ">"].concat());
    if name != "td" && name != "th" {
        out.push('\n');
    }
}

fn escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::{blocks, tests::full};

    #[test]
    fn what_strangers_wrote_is_text() {
        let page = page(&blocks(&full()));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        for tag in page.split('<').skip(1) {
            let name =
                tag.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            let known = [
                "", "html", "head", "meta", "style", "title", "body", "h1", "h2", "p", "div", "table", "tr", "th",
                "td", "br", "span", "i",
            ];
            assert!(known.contains(&name), "<{tag}");
        }
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
    }
}
