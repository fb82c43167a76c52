//! Builds the request of a call: the URL, the headers, the key.

use chatark_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;
use url::form_urlencoded::Serializer;

use crate::call::Call;
use crate::client::ApiClient;
use crate::transport::TransportRequest;

impl ApiClient {
    pub(crate) fn request(&self, call: &Call) -> Result<TransportRequest> {
        let mut url = url(&self.base, call).map_err(|message| self.url_error(call, message))?;
        let mut headers = self.headers.clone();
        if call.body.is_some() {
            // Without a charset: one vendor's framework ignores a body of any other type.
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.credentials.apply(&mut url, &mut headers);
        Ok(TransportRequest { method: call.method.clone(), url, headers, body: call.body.clone() })
    }

    fn url_error(&self, call: &Call, message: &str) -> Error {
        self.error(call, ErrorKind::Usage, message, None)
    }
}

/// Returns the URL of a call: its path and query below a base, percent-encoded.
fn url(base: &Url, call: &Call) -> Result<Url, &'static str> {
    if call.path.iter().any(|segment| cannot_be_a_segment(segment)) {
        return Err(
            "an id that is empty, `.` or `..`, or contains a tab or line break, cannot be part of a URL",
        );
    }
    let mut url = base.clone();
    let mut path = url.path_segments_mut().map_err(|()| "the base URL cannot have a path")?;
    path.pop_if_empty().extend(&call.path);
    drop(path);
    if !call.query.is_empty() {
        let encoded = Serializer::new(String::new()).extend_pairs(&call.query).finish();
        // `%20` is a space to every server, `+` only to those that read the query as a form. A `+` itself is `%2B`.
        let encoded = encoded.replace('+', "%20");
        let query = url.query().map_or_else(|| encoded.clone(), |before| format!("{before}&{encoded}"));
        url.set_query(Some(&query));
    }
    Ok(url)
}

/// Returns whether the URL parser would drop the segment, or some of its characters, instead of encoding them.
fn cannot_be_a_segment(segment: &str) -> bool {
    matches!(segment, "" | "." | "..") || segment.contains(['\t', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "https://api.example.com/v1/";

    fn built(call: &Call) -> Url {
        url(&Url::parse(BASE).unwrap(), call).unwrap()
    }

    /// Decodes percent-encoding and nothing else, as servers read a path.
    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            if byte == b'%' {
                let digits = std::str::from_utf8(&after[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(byte);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[track_caller]
    fn check(id: &str, path: &str, query: &str) {
        let url = built(&Call::new("read", ["users", id, "notes"]).query("id", id));
        assert_eq!(url.as_str(), format!("https://api.example.com/v1/users/{path}/notes?id={query}"));
    }

    #[test]
    fn ids_of_every_kind_are_encoded() {
        check("ann@example.com", "ann@example.com", "ann%40example.com");
        check("+491701234567", "+491701234567", "%2B491701234567");
        check("491701234567@s.whatsapp.net", "491701234567@s.whatsapp.net", "491701234567%40s.whatsapp.net");
        check("a,b;c", "a,b;c", "a%2Cb%3Bc");
        check("a/b", "a%2Fb", "a%2Fb");
        check("../a", "..%2Fa", "..%2Fa");
        check(r"a\b", "a%5Cb", "a%5Cb");
        check("a b?c#d&e=f", "a%20b%3Fc%23d&e=f", "a%20b%3Fc%23d%26e%3Df");
        check("%2e%2e", "%252e%252e", "%252e%252e");
        check("é", "%C3%A9", "%C3%A9");
    }

    #[test]
    fn a_query_of_the_base_url_is_kept() {
        let base = Url::parse("https://api.example.com/v1?tenant=a+b").unwrap();
        let url = url(&base, &Call::new("read", ["x"]).query("q", "c d")).unwrap();
        assert_eq!(url.as_str(), "https://api.example.com/v1/x?tenant=a+b&q=c%20d");
    }

    proptest! {
        #[test]
        fn any_id_is_decoded_to_itself(id in any::<String>(), value in any::<String>()) {
            prop_assume!(!cannot_be_a_segment(&id));
            let url = built(&Call::new("read", ["users", &id, "notes"]).query("id", &value).query("page", 2));
            let segments: Vec<_> = url.path_segments().unwrap().map(decoded).collect();
            prop_assert_eq!(segments, ["v1", "users", &id, "notes"]);
            let pairs: Vec<_> = url.query().unwrap().split('&').map(|pair| pair.split_once('=').unwrap()).collect();
            prop_assert_eq!(pairs.len(), 2);
            prop_assert_eq!(decoded(pairs[0].1), value);
            prop_assert_eq!(url.fragment(), None);
        }
    }
}
