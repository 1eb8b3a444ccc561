//! Where a URL is really asked, through which proxy, and who may see a secret. Pure.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

use rnx_spec::SourceUrl;

/// A secret that one origin may see.
#[derive(Clone, PartialEq, Eq)]
pub struct OriginToken {
    /// For example `https://raw.githubusercontent.com`.
    pub origin: String,
    pub token: String,
}

/// Asks one place instead of another: what begins with `from` begins with `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    pub from: String,
    pub to: String,
}

/// The proxies that are asked on behalf of others.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` URLs, for example `http://user:password@proxy.example.org:3128`.
    pub http: Option<String>,
    /// For `https://` URLs.
    pub https: Option<String>,
    /// The hosts that are asked directly, as `no_proxy` spells them.
    pub except: Vec<String>,
}

/// A server as browsers tell them apart: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Proxies {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, or the same in upper case.
    pub fn from_env(env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let value = |name: &str| {
            [name.to_owned(), name.to_ascii_uppercase()]
                .iter()
                .find_map(|name| env(name)?.into_string().ok().filter(|value| !value.is_empty()))
        };
        let except = value("no_proxy").unwrap_or_default();
        Self {
            http: value("http_proxy").or_else(|| value("all_proxy")),
            https: value("https_proxy").or_else(|| value("all_proxy")),
            except: except.split([',', ' ']).filter(|e| !e.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// Whether `origin` is asked directly. This machine itself always is.
    pub(super) fn spare(&self, origin: &Origin) -> bool {
        let host = origin.host.trim_start_matches('[').trim_end_matches(']');
        let address: Option<IpAddr> = host.parse().ok();
        host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.except.iter().any(|entry| spares(entry, host, address, origin.port))
    }
}

impl Origin {
    /// Returns the origin of a URL or of the beginning of one. There is none for files, and none where a user's name
    /// stands before the host, which is the usual disguise.
    pub(super) fn of(url: &str) -> Option<Self> {
        let (https, rest) = match url.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        let default = if https { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            // A colon with nothing behind it names no other port (RFC 3986, 3.2.3).
            Some((host, "")) => (host, default),
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default),
        };
        let plain = !host.is_empty() && !host.contains('@');
        plain.then(|| Self { https, host: host.to_ascii_lowercase(), port })
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }
}

/// Returns the URL that is asked instead of `url`: the longest beginning that matches decides.
pub(super) fn rewritten(url: &SourceUrl, rewrites: &[Rewrite]) -> SourceUrl {
    let text = url.as_str();
    let best = rewrites
        .iter()
        .filter(|rewrite| !rewrite.from.is_empty() && text.starts_with(&rewrite.from))
        .max_by_key(|rewrite| rewrite.from.len());
    best.and_then(|rewrite| format!("{}{}", rewrite.to, &text[rewrite.from.len()..]).parse().ok())
        .unwrap_or_else(|| url.clone())
}

/// Returns the token that `origin` may see.
pub(super) fn token<'a>(origin: &Origin, tokens: &'a [OriginToken]) -> Option<&'a str> {
    let own = |token: &&OriginToken| Origin::of(&token.origin).as_ref() == Some(origin);
    tokens.iter().find(own).map(|token| token.token.as_str())
}

/// Returns where a `Location` leads that the server at `from` sent.
pub(super) fn redirected(from: &SourceUrl, location: &str) -> Option<SourceUrl> {
    let location = location.trim().split('#').next().unwrap_or_default();
    let from = from.as_str().split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = from.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let next = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if let Some(authority) = location.strip_prefix("//") {
        format!("{scheme}://{authority}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.contains("://") || location.is_empty() {
        return None;
    } else if location.starts_with('?') {
        format!("{from}{location}")
    } else {
        let folder = match rest.rfind('/') {
            Some(at) => &rest[..at],
            None => authority,
        };
        format!("{scheme}://{folder}/{location}")
    };
    // A user's name in an address would be sent as a password.
    Origin::of(&next)?;
    next.parse().ok()
}

/// Returns a URL for messages: what stands after `?` may let in who has it.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn spares(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse()) else {
            return false;
        };
        return address.is_some_and(|address| is_within(address, network, bits));
    }
    let entry = match entry.rsplit_once(':') {
        Some((host, wanted)) if !host.contains(':') => {
            if wanted.parse() != Ok(port) {
                return false;
            }
            host.to_owned()
        }
        _ => entry.trim_start_matches('[').trim_end_matches(']').to_owned(),
    };
    let name = entry.strip_prefix('*').unwrap_or(&entry);
    let name = name.strip_prefix('.').unwrap_or(name);
    if name.is_empty() {
        return false;
    }
    host == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

impl fmt::Debug for OriginToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginToken").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A proxy's address may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("except", &self.except)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        let same = |a, b| Origin::of(a).is_some() && Origin::of(a) == Origin::of(b);
        assert!(same("https://API.github.com/x", "https://api.github.com:443"));
        assert!(same("http://[::1]:80/x", "http://[::1]"));
        assert!(same("https://h:/x", "https://h") && same("http://[::1]:/x", "http://[::1]:80"));
        for none in
            ["https://:/x", "https://:443", "https://h:x/", "https://h:70000", "https://u@h:"]
        {
            assert_eq!(Origin::of(none), None, "{none}");
        }
        for (a, b) in [
            ("https://h", "http://h"),
            ("https://h", "https://h:444"),
            ("https://h", "https://h.evil.example"),
            ("https://h", "https://h@evil.example"),
            ("https://h", "https://h:x@evil.example/"),
            ("https://h", "https://evil.example\\@h"),
            ("file:///h", "file:///h"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn proxies_are_chosen_as_other_programs_choose_them() {
        let env = |name: &str| match name {
            "HTTPS_PROXY" => Some(OsString::from("http://p:1")),
            "no_proxy" => {
                Some(OsString::from("example.org, .in.example,10.0.0.0/8,h:8080,*.w.example"))
            }
            _ => None,
        };
        let proxies = Proxies::from_env(&env);
        assert_eq!((proxies.http.as_deref(), proxies.https.as_deref()), (None, Some("http://p:1")));
        let spared = |url: &str| proxies.spare(&Origin::of(url).unwrap());
        for url in [
            "http://127.0.0.1:1",
            "http://localhost",
            "http://[::1]:3",
            "https://example.org",
            "https://a.Example.org",
            "https://in.example",
            "https://x.in.example",
            "https://10.2.3.4",
            "http://h:8080",
            "https://a.w.example",
        ] {
            assert!(spared(url), "{url}");
        }
        for url in ["https://badexample.org", "https://11.0.0.1", "http://h", "https://10.example"]
        {
            assert!(!spared(url), "{url}");
        }
        assert!(!format!("{proxies:?}").contains("p:1"));
    }

    #[test]
    fn the_longest_beginning_is_rewritten() {
        let rewrite = |from: &str, to: &str| Rewrite { from: from.to_owned(), to: to.to_owned() };
        let rewrites =
            [rewrite("https://h/", "https://m/h/"), rewrite("https://h/a/", "file:///a/")];
        let rewritten = |url: &str| rewritten(&url.parse().unwrap(), &rewrites).to_string();
        assert_eq!(rewritten("https://h/x?y"), "https://m/h/x?y");
        assert_eq!(rewritten("https://h/a/x"), "file:///a/x");
        assert_eq!(rewritten("https://o/a/x"), "https://o/a/x");
    }

    #[test]
    fn locations_are_resolved_and_disguises_refused() {
        let from: SourceUrl = "https://h:8/a/b?c=/d".parse().unwrap();
        for (location, expected) in [
            ("https://o/x#y", Some("https://o/x")),
            ("//o/x", Some("https://o/x")),
            ("/x?y", Some("https://h:8/x?y")),
            ("x/y", Some("https://h:8/a/x/y")),
            ("?z", Some("https://h:8/a/b?z")),
            ("https://user:secret@o/x", None),
            ("ftp://o/x", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            let found = redirected(&from, location).map(String::from);
            assert_eq!(found.as_deref(), expected, "{location}");
        }
        let bare: SourceUrl = "http://h".parse().unwrap();
        assert_eq!(redirected(&bare, "x").unwrap().as_str(), "http://h/x");
    }
}
