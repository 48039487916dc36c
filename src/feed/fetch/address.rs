//! Where something is got from: which addresses are taken, and where a redirection leads.

use std::path::Path;

/// Longest address.
const MOST: usize = 2048;

/// A place that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A file of the router's.
    File(&'a Path),
    /// `https://` or `http://`.
    Web(&'a str),
}

/// What an address means.
///
/// # Errors
/// A sentence, for one that no program may be given.
pub fn place(url: &str) -> Result<Place<'_>, String> {
    if let Some(path) = Some(url.strip_prefix("file://").unwrap_or(url)).filter(|path| path.starts_with('/')) {
        return if path.bytes().any(|byte| byte == 0) {
            Err("the path of the file has a zero byte in it".into())
        } else {
            Ok(Place::File(Path::new(path)))
        };
    }
    // What ends a header, a word or a quotation would be more than an address to the programs.
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if !plain || url.len() > MOST {
        return Err("the address has a space or another character that belongs into no address, or is too long".into());
    }
    let host = host(url);
    if host.is_empty() {
        return Err("the address is neither https:// nor http:// nor file:/// nor the path of a file".into());
    }
    if host.contains('@') {
        return Err("the address has a name and a password in it: these belong into a login of their own".into());
    }
    Ok(Place::Web(url))
}

/// Whether it is asked for over HTTPS.
pub fn is_secure(url: &str) -> bool {
    url.starts_with("https://")
}

/// The host of an address of the web, with its port; empty where it is none.
pub fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or_default()
}

/// Name or address and port of the server of an address; `None` where it is a file.
pub fn server(url: &str) -> Option<(&str, u16)> {
    let (name, port) = Some(host(url)).filter(|host| !host.is_empty()).map(split_port)?;
    let port = port.and_then(|port| port.parse().ok()).unwrap_or(if is_secure(url) { 443 } else { 80 });
    Some((name.trim_matches(['[', ']']), port))
}

/// A host's name and its port, if it has one.
fn split_port(host: &str) -> (&str, Option<&str>) {
    let parts = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    parts.map_or((host, None), |(name, port)| (name, Some(port)))
}

/// Whether a login for one may be given to the other: the same host and port, by the same protocol.
pub fn same_origin(one: &str, other: &str) -> bool {
    is_secure(one) == is_secure(other) && host(one).eq_ignore_ascii_case(host(other))
}

/// The address that a redirection from `base` leads to.
pub fn resolve(base: &str, location: &str) -> String {
    let scheme = if is_secure(base) { "https:" } else { "http:" };
    let origin = scheme.len() + 2 + host(base).len();
    let upto = |end: usize| base.get(..end).unwrap_or(base);
    for known in ["https://", "http://"] {
        if let Some((start, rest)) = location.split_at_checked(known.len())
            && start.eq_ignore_ascii_case(known)
        {
            return [known, rest].concat();
        }
    }
    if location.starts_with("//") {
        return [scheme, location].concat();
    }
    if location.starts_with('/') {
        return [upto(origin), location].concat();
    }
    let path = upto(base.find(['?', '#']).unwrap_or(base.len()));
    if location.starts_with('?') {
        return [path, location].concat();
    }
    match path.rfind('/').filter(|slash| *slash >= origin) {
        Some(slash) => [upto(slash + 1), location].concat(),
        None => [upto(origin), "/", location].concat(),
    }
}

/// Where a redirection from HTTPS leads of which only host and path are known, as `//host/path`: over HTTPS,
/// and on the same host by the same port.
pub fn keep_port(base: &str, location: &str) -> String {
    let (next, same) = (resolve(base, location), host(base));
    let to = host(&next);
    if to != split_port(same).0 {
        return next;
    }
    let path = location.strip_prefix("//").and_then(|rest| rest.strip_prefix(to)).unwrap_or_default();
    ["https://", same, path].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_may_be_asked() {
        for url in ["https://a.example/x?y=%20#z", "http://[2001:db8::1]:8080", "https://a.example?x@y"] {
            assert_eq!(place(url), Ok(Place::Web(url)));
        }
        for url in ["file:///etc/a list", "/etc/a list"] {
            assert_eq!(place(url), Ok(Place::File(Path::new("/etc/a list"))));
        }
        for (url, why) in [
            ("ftp://a.example/", "neither https://"),
            ("file://relative", "neither https://"),
            ("-o/etc/passwd", "neither https://"),
            ("https:///x", "neither https://"),
            ("https://a.example/x y", "a space"),
            ("https://a.example/\r\nHost:", "a space"),
            ("https://a.example/\"", "a space"),
            ("https://a.example/\\", "a space"),
            ("https://a.example/é", "a space"),
            ("https://me:secret@a.example/", "login"),
            ("/etc/a\0b", "zero"),
        ] {
            let refusal = place(url).unwrap_err();
            assert!(refusal.contains(why), "{url}: {refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
        assert!(place(&format!("https://a.example/{}", "x".repeat(MOST))).is_err());
    }

    #[test]
    fn a_server_has_a_name_and_a_port() {
        for (url, expected) in [
            ("https://a.example/x", Some(("a.example", 443))),
            ("http://a.example", Some(("a.example", 80))),
            ("https://a.example:8443?x", Some(("a.example", 8443))),
            ("http://[2001:db8::1]:8080/x", Some(("2001:db8::1", 8080))),
            ("https://[2001:db8::1]/x", Some(("2001:db8::1", 443))),
            ("file:///etc/list", None),
            ("/etc/list", None),
        ] {
            assert_eq!(server(url), expected, "{url}");
        }
    }

    #[test]
    fn redirections_lead_where_the_standard_says() {
        let base = "https://a.example:444/one/two?three/four";
        for (location, to) in [
            ("http://b.example/x", "http://b.example/x"),
            ("HTTPS://b.example/x", "https://b.example/x"),
            ("//b.example/x", "https://b.example/x"),
            ("/x", "https://a.example:444/x"),
            ("x", "https://a.example:444/one/x"),
            ("?x", "https://a.example:444/one/two?x"),
        ] {
            assert_eq!(resolve(base, location), to);
        }
        assert_eq!(keep_port(base, "//a.example//x"), "https://a.example:444//x");
        assert_eq!(keep_port(base, "//b.example/x"), "https://b.example/x");
        assert_eq!(keep_port("https://[::1]:444/", "//[::1]/x"), "https://[::1]:444/x");
        assert_eq!(keep_port("https://[::1]/", "//[::1]/x"), "https://[::1]/x");
        assert_eq!(resolve("http://a.example", "x"), "http://a.example/x");
        assert!(same_origin("https://a.example/x", "https://A.example/y"));
        for other in ["http://a.example/x", "https://a.example:444/x", "https://b.example/x"] {
            assert!(!same_origin("https://a.example/x", other), "{other}");
        }
    }
}
