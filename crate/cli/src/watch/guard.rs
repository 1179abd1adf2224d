//! Who is answered. Loopback is shared by all users of a machine, and by every page in the user's browser: a request needs the
//! token, and has to call the server by its own name, which a page that leads a name of its own to 127.0.0.1 does not.

use crate::{Error, Result};
use rethink_nn::text::hex;
use sha2::{Digest, Sha256};

/// What a request has to show.
pub struct Guard {
    port: u16,
    token: String,
    /// Of the page's own script and style, which alone are run.
    nonce: String,
}

impl Guard {
    /// With a new token of 256 random bits, for the server on `port`.
    ///
    /// Errors: [`Error::Argument`] where the system has no random numbers.
    pub fn new(port: u16) -> Result<Guard> {
        let random = || {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|e| Error::argument("draw a token", e.to_string()))?;
            Ok::<_, Error>(hex(&bytes))
        };
        Ok(Guard { port, token: random()?, nonce: random()? })
    }

    /// Of the page, with the token.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// Whether a request with these headers and this query is answered; else why not.
    pub fn admits(
        &self,
        host: Option<&str>,
        authorization: Option<&str>,
        query: &str,
    ) -> std::result::Result<(), &'static str> {
        let names = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !host.is_some_and(|host| names.iter().any(|name| name == host)) {
            return Err("this server is 127.0.0.1, and goes by no other name");
        }
        let by_header = authorization.and_then(|text| text.strip_prefix("token "));
        let by_query = query.split('&').find_map(|pair| pair.strip_prefix("token="));
        match by_header.or(by_query).is_some_and(|token| self.is_token(token)) {
            true => Ok(()),
            false => Err("the address with the token is what `rethink watch` has printed"),
        }
    }

    /// Digests are compared, so that the time it takes says nothing of the token.
    fn is_token(&self, given: &str) -> bool {
        Sha256::digest(given) == Sha256::digest(&self.token)
    }

    /// The page, whole: script, style and the charts' library are in it.
    pub fn page(&self) -> String {
        let parts = [
            ("{{nonce}}", self.nonce.as_str()),
            ("/*{{uplot.css}}*/", include_str!("uplot/uPlot.min.css")),
            ("/*{{page.css}}*/", include_str!("page.css")),
            ("/*{{uplot.js}}*/", include_str!("uplot/uPlot.iife.min.js")),
            ("/*{{page.js}}*/", include_str!("page.js")),
        ];
        parts
            .iter()
            .fold(include_str!("page.html").to_string(), |page, (mark, text)| page.replace(mark, text))
    }

    /// The page's Content-Security-Policy: its own script and style, its own server, nothing else.
    pub fn policy(&self) -> String {
        let nonce = &self.nonce;
        format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    }
}
