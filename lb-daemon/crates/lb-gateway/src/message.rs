//! What one exchange keeps in memory, on loan from its worker: nothing is allocated once it has grown.

use lb_http::{RequestHead, ResponseHead};

use crate::stock::Reuse;

/// The two heads of an exchange, and room to write.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    /// A head under construction.
    pub(crate) out: Vec<u8>,
    /// A field's value under construction.
    pub(crate) value: Vec<u8>,
}

impl Reuse for Message {
    /// A head that was given up in its middle would be gone on with otherwise, by another connection.
    fn forget(&mut self) {
        let Self { request, response, out, value } = self;
        request.clear();
        response.clear();
        out.clear();
        value.clear();
    }

    fn memory(&self) -> usize {
        let Self { request, response, out, value } = self;
        request.memory() + response.memory() + out.capacity() + value.capacity()
    }
}
