//! One request and its response: what the phases share.

use std::rc::Rc;

use lb_model::Termination;
use lb_net::clock;
use lb_telemetry::metrics::RequestEnd;

use crate::access_log;
use crate::client::Client;
use crate::conn::{After, Ran, Run};
use crate::forwarded;
use crate::message::Message;
use crate::pipeline::pipeline;
use crate::record::Record;
use crate::refusal::refuse;
use crate::stock::Loan;
use crate::terms::Terms;

/// A request that is being served. Dropping it writes its record.
#[derive(Debug)]
pub(crate) struct Exchange<'c> {
    pub(crate) client: &'c mut Client,
    pub(crate) message: Loan<Message>,
    pub(crate) record: Record,
    /// What held when it came; nothing of it changes under way.
    pub(crate) terms: Rc<Terms>,
}

/// Runs one request. Whatever it needs is in this future, whose memory is used again for the next (ADR 14).
pub(crate) async fn run(Run { mut client, message, refused }: Run) -> Ran {
    let after = match client.service.terms() {
        Some(terms) => {
            let mut exchange = Exchange::new(&mut client, message, terms);
            match refused {
                None => pipeline(&mut exchange).await,
                Some(failure) => refuse(&mut exchange, failure).await,
            }
        }
        None => After::End(Termination::NoRoute),
    };
    Ran { client, after }
}

impl<'c> Exchange<'c> {
    fn new(client: &'c mut Client, message: Loan<Message>, terms: Rc<Terms>) -> Self {
        client.requests = client.requests.saturating_add(1);
        client.service.sheet(&client.worker).http.requests.add(1);
        let trusted = &terms.http().trusted_proxies;
        let named = forwarded::client(message.request.fields(), client.address.ip(), trusted);
        let record = Record::new(client.service.local.ids.next(), named);
        Self { client, message, record, terms }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let worker = &self.client.worker;
        let end = self.record.end.unwrap_or_else(|| {
            // Cut off in the middle: what the client has of it must not look whole.
            self.client.wire.reset();
            if worker.is_cut() { RequestEnd::Shutdown } else { RequestEnd::Internal }
        });
        self.record.end = Some(end);
        let took = clock::now().saturating_duration_since(self.record.begun);
        let sheet = self.client.service.sheet(worker);
        sheet.bytes_in.add(self.record.bytes_in);
        sheet.bytes_out.add(self.record.bytes_out);
        sheet.http.responses(self.record.status).add(1);
        sheet.http.ended(end).add(1);
        sheet.http.repeats.add(self.record.repeats.into());
        sheet.http.duration.observe(took);
        if let Some(backend) = &self.record.trail.backend {
            let sheet = backend.state.metrics.of(worker.index);
            sheet.bytes_in.add(self.record.bytes_in);
            sheet.bytes_out.add(self.record.bytes_out);
        }
        let line = access_log::Request {
            listener: self.client.service.listener(),
            peer: self.client.address,
            head: &self.message.request,
            record: &self.record,
            took,
            id_field: self.terms.http().request_id_header.as_ref(),
        };
        self.client.service.log(worker, &self.terms, |settings, out| line.write(settings.format, out));
    }
}
