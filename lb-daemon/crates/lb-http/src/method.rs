//! Request methods (RFC 9110 §9).

/// A request's method. Methods are case-sensitive: `get` is not GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// CONNECT
    Connect,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PATCH (RFC 5789)
    Patch,
    /// Any other; the head has its name.
    Other,
}

impl Method {
    /// The method of this name.
    pub fn find(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether the client asks for no change (RFC 9110 §9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Whether sending it twice intends the same as sending it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_exact_name() {
        assert_eq!(Method::find(b"DELETE"), Method::Delete);
        for other in [&b"delete"[..], b"GET ", b"", b"GETT", b"PROPFIND"] {
            assert_eq!(Method::find(other), Method::Other);
        }
    }

    /// RFC 9110 §9.2: what is tried again after a failure must not do twice what was to be done once.
    #[test]
    fn what_is_not_known_is_neither_safe_nor_idempotent() {
        assert!(Method::Put.is_idempotent() && !Method::Put.is_safe() && Method::Get.is_safe());
        for method in [Method::Post, Method::Patch, Method::Connect, Method::Other] {
            assert!(!method.is_idempotent() && !method.is_safe(), "{method:?}");
        }
    }
}
