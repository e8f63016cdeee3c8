//! The field names that Sluice knows, each with an id: looking at a field is a comparison of bytes no more.

macro_rules! known_fields {
    ($($id:ident $name:literal,)*) => {
        /// A field name that is known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum KnownField {
            $(#[doc = concat!("`", $name, "`")] $id,)*
        }

        impl KnownField {
            /// All of them, in the order of their names.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$id),*];

            /// The name as its registration spells it.
            #[inline]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)*
                }
            }
        }
    };
}

known_fields! {
    Accept "Accept",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AcceptRanges "Accept-Ranges",
    AccessControlAllowCredentials "Access-Control-Allow-Credentials",
    AccessControlAllowHeaders "Access-Control-Allow-Headers",
    AccessControlAllowMethods "Access-Control-Allow-Methods",
    AccessControlAllowOrigin "Access-Control-Allow-Origin",
    AccessControlExposeHeaders "Access-Control-Expose-Headers",
    AccessControlMaxAge "Access-Control-Max-Age",
    AccessControlRequestHeaders "Access-Control-Request-Headers",
    AccessControlRequestMethod "Access-Control-Request-Method",
    Age "Age",
    Allow "Allow",
    AltSvc "Alt-Svc",
    Authorization "Authorization",
    CacheControl "Cache-Control",
    Connection "Connection",
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length",
    ContentLocation "Content-Location",
    ContentRange "Content-Range",
    ContentSecurityPolicy "Content-Security-Policy",
    ContentType "Content-Type",
    Cookie "Cookie",
    Date "Date",
    ETag "ETag",
    Expect "Expect",
    Expires "Expires",
    Forwarded "Forwarded",
    Host "Host",
    Http2Settings "HTTP2-Settings",
    IfMatch "If-Match",
    IfModifiedSince "If-Modified-Since",
    IfNoneMatch "If-None-Match",
    IfRange "If-Range",
    IfUnmodifiedSince "If-Unmodified-Since",
    KeepAlive "Keep-Alive",
    LastModified "Last-Modified",
    Link "Link",
    Location "Location",
    MaxForwards "Max-Forwards",
    Origin "Origin",
    Pragma "Pragma",
    Priority "Priority",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyConnection "Proxy-Connection",
    Range "Range",
    Referer "Referer",
    RetryAfter "Retry-After",
    SecFetchDest "Sec-Fetch-Dest",
    SecFetchMode "Sec-Fetch-Mode",
    SecFetchSite "Sec-Fetch-Site",
    SecFetchUser "Sec-Fetch-User",
    SecWebSocketAccept "Sec-WebSocket-Accept",
    SecWebSocketExtensions "Sec-WebSocket-Extensions",
    SecWebSocketKey "Sec-WebSocket-Key",
    SecWebSocketProtocol "Sec-WebSocket-Protocol",
    SecWebSocketVersion "Sec-WebSocket-Version",
    Server "Server",
    SetCookie "Set-Cookie",
    StrictTransportSecurity "Strict-Transport-Security",
    Te "TE",
    Traceparent "traceparent",
    Tracestate "tracestate",
    Trailer "Trailer",
    TransferEncoding "Transfer-Encoding",
    Upgrade "Upgrade",
    UpgradeInsecureRequests "Upgrade-Insecure-Requests",
    UserAgent "User-Agent",
    Vary "Vary",
    Via "Via",
    WwwAuthenticate "WWW-Authenticate",
    XContentTypeOptions "X-Content-Type-Options",
    XForwardedFor "X-Forwarded-For",
    XForwardedHost "X-Forwarded-Host",
    XForwardedPort "X-Forwarded-Port",
    XForwardedProto "X-Forwarded-Proto",
    XFrameOptions "X-Frame-Options",
    XRealIp "X-Real-IP",
    XRequestId "X-Request-ID",
}

impl KnownField {
    /// The known field of this name, in any case.
    #[inline]
    pub fn find(name: &[u8]) -> Option<Self> {
        let mut slot = slot_of(name)?;
        loop {
            let candidate = (*TABLE.get(slot)?)?;
            if is_same(name, candidate.name().as_bytes()) {
                return Some(candidate);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Whether they are the same but for the case of letters. `known` has only letters, digits and `-`.
#[inline]
fn is_same(name: &[u8], known: &[u8]) -> bool {
    const LETTERS: u64 = u64::from_ne_bytes([0x40; 8]);
    // Only in a letter of `known` is 0x40 set, and there it makes no difference whether 0x20 is.
    let is_same = |name: u64, known: u64| (name ^ known) & !((known & LETTERS) >> 1) == 0;
    let (words, end) = name.as_chunks();
    let (known_words, known_end) = known.as_chunks();
    name.len() == known.len()
        && words.iter().zip(known_words).all(|(a, b)| is_same(u64::from_ne_bytes(*a), u64::from_ne_bytes(*b)))
        && end.iter().zip(known_end).all(|(a, b)| is_same((*a).into(), (*b).into()))
}

/// So many that most names, known or not, are decided by the first slot.
const SLOTS: usize = 512;

/// Each known field in its slot, or in the next free one behind it.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
static TABLE: [Option<KnownField>; SLOTS] = {
    let mut table = [None; SLOTS];
    let mut next = 0;
    while next < KnownField::ALL.len() {
        let field = KnownField::ALL[next];
        let Some(mut slot) = slot_of(field.name().as_bytes()) else { panic!("a field without a name") };
        while table[slot].is_some() {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = Some(field);
        next += 1;
    }
    table
};

/// Where to look for a name first. Its length, its first and its last two letters tell the known names apart, and with
/// these factors no two of them have the same slot.
const fn slot_of(name: &[u8]) -> Option<usize> {
    let ([first, ..], [.., before, last]) = (name, name) else { return None };
    Some((name.len() * 63 + lower(*first) * 7 + lower(*last) * 51 + lower(*before) * 18) % SLOTS)
}

/// The same for both cases of a letter.
const fn lower(byte: u8) -> usize {
    (byte | 0x20) as usize
}

/// A set of known fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KnownFields(u128);

const _: () = assert!(KnownField::ALL.len() <= u128::BITS as usize);

impl KnownFields {
    pub(crate) const fn of(fields: &[KnownField]) -> Self {
        let mut set = Self(0);
        let mut rest = fields;
        while let [field, behind @ ..] = rest {
            set = set.with(*field);
            rest = behind;
        }
        set
    }

    const fn with(self, field: KnownField) -> Self {
        Self(self.0 | 1 << field as u8)
    }

    /// Adds the field, if it is one.
    pub(crate) fn extend(&mut self, field: Option<KnownField>) {
        *self = field.map_or(*self, |field| self.with(field));
    }

    /// Takes the field out, if it is one.
    pub(crate) fn remove(&mut self, field: Option<KnownField>) {
        self.0 &= !field.map_or(0, |field| 1 << field as u8);
    }

    pub(crate) fn contains(self, field: KnownField) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    pub(crate) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for field in KnownField::ALL {
            let name = field.name();
            for spelling in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(KnownField::find(spelling.as_bytes()), Some(field), "{spelling}");
            }
        }
    }

    #[test]
    fn what_is_near_a_known_name_is_not_it() {
        for field in KnownField::ALL {
            let name = field.name().as_bytes();
            assert_eq!(KnownField::find(&name[1..]), None);
            assert_eq!(KnownField::find(&[name, b"s"].concat()), None);
            for at in 0..name.len() {
                let mut other = name.to_vec();
                for byte in 0..=u8::MAX {
                    other[at] = byte;
                    let expected = byte.eq_ignore_ascii_case(&name[at]).then_some(field);
                    assert_eq!(KnownField::find(&other), expected, "{}", other.escape_ascii());
                }
            }
        }
        assert_eq!(KnownField::find(b""), None);
        assert_eq!(KnownField::find(b"x"), None);
    }

    #[test]
    fn no_two_known_names_share_a_slot() {
        let mut slots: Vec<_> =
            KnownField::ALL.iter().map(|field| slot_of(field.name().as_bytes())).collect();
        slots.sort();
        slots.dedup();
        assert_eq!(slots.len(), KnownField::ALL.len());
    }

    #[test]
    fn names_are_in_order() {
        assert!(KnownField::ALL.is_sorted_by_key(|field| field.name().to_ascii_lowercase()));
    }
}
