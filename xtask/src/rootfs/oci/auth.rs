//! What a server asks for before it answers, and how it is given (distribution's `token.md`): pure.

use std::fmt::Write;

use serde::Deserialize;

/// A server's `WWW-Authenticate: Bearer …`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    service: Option<String>,
}

/// Finds the challenge that a token answers.
pub(crate) fn challenge(headers: &[String]) -> Option<Challenge> {
    let bearer = |header: &String| {
        let (scheme, rest) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| rest.to_owned())
    };
    let parameters = parameters(&headers.iter().find_map(bearer)?);
    let value = |name: &str| {
        parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
    };
    Some(Challenge { realm: value("realm")?, service: value("service") })
}

impl Challenge {
    /// Returns the address that hands out a token for `scope`.
    pub(crate) fn token_url(&self, scope: &str) -> String {
        let mark = if self.realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{}{mark}scope={}", self.realm, encoded(scope));
        if let Some(service) = &self.service {
            url.push_str("&service=");
            url.push_str(&encoded(service));
        }
        url
    }
}

/// Reads the token out of a token server's answer.
pub(crate) fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = answer.token.or(answer.access_token)?;
    // It becomes a header.
    token.bytes().all(|byte| byte.is_ascii_graphic()).then_some(token)
}

/// Splits `key="value",key=value`; a comma inside quotes is part of the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_leads_to_the_token_server() {
        let headers = [
            "Basic realm=\"x\"".to_owned(),
            "Bearer realm=\"https://auth.test/token\",service=\"images.test, inc\",scope=\"a,b\""
                .to_owned(),
        ];
        let challenge = challenge(&headers).unwrap();
        assert_eq!(
            challenge.token_url("repository:team/tiny:pull"),
            "https://auth.test/token?scope=repository:team/tiny:pull&service=images.test%2C%20inc"
        );
        assert_eq!(super::challenge(&headers[..1]), None);
    }

    #[test]
    fn tokens_come_under_two_names_and_never_break_a_header() {
        assert_eq!(token(br#"{"access_token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(token(br#"{"token":"b","access_token":"a"}"#).as_deref(), Some("b"));
        assert_eq!(token(br#"{"token":"a\r\nX: y"}"#), None);
        assert_eq!(token(b"{}"), None);
    }
}
