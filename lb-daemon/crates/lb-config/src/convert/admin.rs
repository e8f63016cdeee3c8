//! `[admin]` of all files to [`Admin`].

use std::ops::Range;

use lb_model::{Admin, AdminSocket, AdminTcp, AdminTls};

use super::required;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, OffOr, RawAdmin, RawAdminTcp, RawAdminTls};

pub(super) fn convert(documents: &[Document<'_>], problems: &mut Problems) -> Admin {
    let mut admin = Admin::default();
    for document in documents {
        let Some(RawAdmin { socket, tcp }) = &document.raw.admin else { continue };
        if let Some(socket) = socket {
            admin.socket = match &socket.value {
                OffOr::Off => AdminSocket::Off,
                OffOr::Value(path) => AdminSocket::Path(document.resolve(&path.0)),
            };
        }
        if let Some(tcp) = tcp {
            admin.tcp = self::tcp(tcp, document, problems);
        }
    }
    admin
}

fn tcp(raw: &Located<RawAdminTcp>, document: &Document<'_>, problems: &mut Problems) -> Option<AdminTcp> {
    let Located { span: table, value: raw } = raw;
    let RawAdminTcp { bind, token_file, tls } = raw;
    let bind = required("bind", bind.as_ref(), table, document, problems);
    if let Some(bind) = bind
        && !bind.value.0.0.ip().is_loopback()
        && !document.has_key(table, "tls")
    {
        let message = "without `tls` this must be a loopback address, such as 127.0.0.1: a token could be read on its way";
        problems.error(document.diagnostic(bind.span.clone(), message));
    }
    require_authentication(raw, table, document, problems);

    let token_file = token_file.as_ref().map(|path| document.resolve(&path.value.0.0));
    let tls = match tls {
        Some(tls) => Some(self::tls(tls, document, problems)?),
        None => None,
    };
    Some(AdminTcp { bind: bind?.value.0.0, token_file, tls })
}

/// Somebody who shows nothing may do nothing.
fn require_authentication(
    raw: &RawAdminTcp,
    table: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) {
    let by_certificate = match &raw.tls {
        Some(tls) => document.has_key(&tls.span, "client_ca_file"),
        // What cannot be read may have it.
        None => document.has_key(table, "tls"),
    };
    if !by_certificate && !document.has_key(table, "token_file") {
        let message = "nothing says who may connect: set `token_file`, or `client_ca_file` in `tls`";
        problems.absence(document.diagnostic(table.clone(), message));
    }
}

fn tls(raw: &Located<RawAdminTls>, document: &Document<'_>, problems: &mut Problems) -> Option<AdminTls> {
    let Located { span: table, value: RawAdminTls { cert_file, key_file, client_ca_file } } = raw;
    let cert_file = required("cert_file", cert_file.as_ref(), table, document, problems);
    let key_file = required("key_file", key_file.as_ref(), table, document, problems);
    Some(AdminTls {
        cert_file: document.resolve(&cert_file?.value.0.0),
        key_file: document.resolve(&key_file?.value.0.0),
        client_ca_file: client_ca_file.as_ref().map(|path| document.resolve(&path.value.0.0)),
    })
}
