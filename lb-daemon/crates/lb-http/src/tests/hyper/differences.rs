//! Where Sluice and hyper do not agree on what is a message, and why.

use crate::Fault;

/// Something that hyper reads, and Sluice refuses.
pub(super) struct Stricter {
    pub(super) fault: Fault,
    pub(super) why: &'static str,
    pub(super) example: &'static str,
}

pub(super) const STRICTER_WITH_REQUESTS: &[Stricter] = &[
    Stricter {
        fault: Fault::BareLf,
        why: "who takes a LF for data, or for nothing, sees other lines; RFC 9112 §2.2 allows a recipient to take it for a \
              line break, but asks nobody to",
        example: "GET / HTTP/1.1\nHost: a\n\n",
    },
    Stricter {
        fault: Fault::Method,
        why: "one empty line in front of a request is enough for old clients (RFC 9112 §2.2), and it ends with CR LF",
        example: "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Stricter {
        fault: Fault::MethodTooLong,
        why: "no method is that long; RFC 9112 §3 has 501 for it",
        example: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Stricter {
        fault: Fault::Connect,
        why: "a tunnel is a forward proxy's business",
        example: "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Stricter {
        fault: Fault::Target,
        why: "hyper drops what follows a #, others do not; no client sends a fragment",
        example: "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Stricter {
        fault: Fault::TargetForm,
        why: "an authority is CONNECT's target, * is OPTIONS', and a path begins with a slash (RFC 9112 §3.2)",
        example: "GET a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Stricter {
        fault: Fault::HostMissing,
        why: "RFC 9112 §3.2; hyper leaves it to the application",
        example: "GET / HTTP/1.1\r\n\r\n",
    },
    Stricter {
        fault: Fault::HostRepeated,
        why: "RFC 9112 §3.2; hyper leaves it to the application",
        example: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    },
    Stricter {
        fault: Fault::Host,
        why: "RFC 9112 §3.2; hyper leaves it to the application",
        example: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    },
    Stricter {
        fault: Fault::ConnectionOptions,
        why: "each is looked for among the fields; nobody sends more than three",
        example: "GET / HTTP/1.1\r\nHost: a\r\nConnection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n",
    },
    Stricter {
        fault: Fault::LengthAndTransferEncoding,
        why: "RFC 9112 §6.1 allows to refuse it; hyper ignores the length",
        example: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::ContentLengthRepeated,
        why: "RFC 9110 §8.6 allows to refuse it; hyper reads equal ones as one",
        example: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    },
    Stricter {
        fault: Fault::TransferEncoding,
        why: "a coding that Sluice does not know cannot be understood; hyper passes on what is encoded",
        example: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::TransferEncodingRepeated,
        why: "only \"chunked\" alone is read alike by everybody",
        example: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::ChunkSize,
        why: "RFC 9112 §7.1 has no white space behind the size, but bad white space in front of an extension",
        example: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::ChunkSizeTooLarge,
        why: "who cuts the size to 64 bits sees another one; nobody needs more than 16 digits",
        example: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\na\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::ChunkExtension,
        why: "no control character belongs into an extension",
        example: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\0\r\na\r\n0\r\n\r\n",
    },
];

pub(super) const STRICTER_WITH_RESPONSES: &[Stricter] = &[
    Stricter { fault: Fault::BareLf, why: "as with requests", example: "HTTP/1.1 200 OK\nX: a\n\n" },
    Stricter {
        fault: Fault::Version,
        why: "an empty line in front of a response is something that the last one left behind",
        example: "\r\nHTTP/1.1 200 OK\r\n\r\n",
    },
    Stricter {
        fault: Fault::ConnectionOptions,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nConnection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n",
    },
    Stricter {
        fault: Fault::ContentLength,
        why: "hyper does not look at it where there is no body, and reads \"1, 1\" as 1; Sluice would pass it on",
        example: "HTTP/1.1 304 Not Modified\r\nContent-Length: a\r\n\r\n",
    },
    Stricter {
        fault: Fault::ContentLengthRepeated,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    },
    Stricter {
        fault: Fault::LengthAndTransferEncoding,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::TransferEncoding,
        why: "as with requests; if \"chunked\" is not last, hyper reads until the connection closes (RFC 9112 §6.3)",
        example: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\na",
    },
    Stricter {
        fault: Fault::TransferEncodingRepeated,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nTransfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::TransferEncodingBefore11,
        why: "hyper does not look at it where there is no body",
        example: "HTTP/1.0 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    },
    Stricter {
        fault: Fault::InformationalContent,
        why: "who believes it reads the next response as content",
        example: "HTTP/1.1 103 Early Hints\r\nContent-Length: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    },
    Stricter {
        fault: Fault::ChunkSize,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::ChunkSizeTooLarge,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\na\r\n0\r\n\r\n",
    },
    Stricter {
        fault: Fault::ChunkExtension,
        why: "as with requests",
        example: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;\0\r\na\r\n0\r\n\r\n",
    },
];

/// Something that hyper refuses, and Sluice does not.
pub(super) struct Looser {
    pub(super) why: &'static str,
    pub(super) example: &'static str,
    /// Whether the stream may have it.
    pub(super) is_in: fn(&[u8]) -> bool,
}

const LONG_LENGTH: &[u8] = b"18446744073709551614";

pub(super) const LOOSER_WITH_REQUESTS: &[Looser] = &[
    Looser {
        why: "hyper keeps the two largest lengths for itself",
        example: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551614\r\n\r\n",
        is_in: |stream| has(stream, LONG_LENGTH),
    },
    Looser {
        why: "browsers do not encode these in a query, and every server reads them alike",
        example: "GET /?<>`\" HTTP/1.1\r\nHost: a\r\n\r\n",
        is_in: |stream| stream.iter().any(|byte| b"<>`\"".contains(byte)),
    },
];

pub(super) const LOOSER_WITH_RESPONSES: &[Looser] = &[Looser {
    why: "as with requests",
    example: "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551614\r\n\r\n",
    is_in: |stream| has(stream, LONG_LENGTH),
}];

fn has(stream: &[u8], text: &[u8]) -> bool {
    stream.windows(text.len()).any(|window| window == text)
}
