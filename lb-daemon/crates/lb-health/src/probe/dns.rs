//! Asks a DNS question over UDP, and over TCP if the answer did not fit.

use std::net::SocketAddr;
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use lb_model::DnsProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Deadline, tcp, udp};
use crate::error::{ProbeError, Step};

pub(super) async fn probe(
    address: SocketAddr,
    first: &[u8],
    probe: &DnsProbe,
    deadline: Deadline,
) -> Result<(), ProbeError> {
    let question = question(probe)?;
    let wire = question.to_vec().map_err(|error| ProbeError::Local(error.to_string()))?;
    let answer = parse(&udp::exchange(address, &wire, deadline).await?, &question)?;
    // As resolvers do; some servers truncate everything to see who is serious.
    let answer = if answer.metadata.truncation {
        parse(&exchange_tcp(address, first, &wire, deadline).await?, &question)?
    } else {
        answer
    };
    judge(&answer)
}

fn question(probe: &DnsProbe) -> Result<Message, ProbeError> {
    let name = Name::from_ascii(probe.name.as_str());
    let mut name = name.map_err(|error| ProbeError::Local(error.to_string()))?;
    name.set_fqdn(true);
    let record = RecordType::from_str(probe.record.as_str());
    let record = record.map_err(|error| ProbeError::Local(error.to_string()))?;
    let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, record));
    Ok(message)
}

async fn exchange_tcp(
    address: SocketAddr,
    first: &[u8],
    question: &[u8],
    deadline: Deadline,
) -> Result<Vec<u8>, ProbeError> {
    let mut stream = tcp::connect(address, first, deadline).await?;
    let exchange = async {
        // A question of one name is far below 64 KiB.
        let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer = deadline.within(Step::Answer, exchange).await?;
    answer.map_err(|error: std::io::Error| ProbeError::from_io(&error))
}

/// The message in `wire`, if it answers `question`.
fn parse(wire: &[u8], question: &Message) -> Result<Message, ProbeError> {
    let invalid = |error: String| ProbeError::Protocol { protocol: "DNS", error };
    let answer = Message::from_vec(wire).map_err(|error| invalid(error.to_string()))?;
    let (asked, told) = (&question.metadata, &answer.metadata);
    if told.message_type != MessageType::Response || told.id != asked.id {
        return Err(invalid("not a response to the question".into()));
    }
    // Servers that report an error may leave the question out.
    let same = answer.queries == question.queries
        || (answer.queries.is_empty() && told.response_code != ResponseCode::NoError);
    if same { Ok(answer) } else { Err(invalid("a response to another question".into())) }
}

fn judge(answer: &Message) -> Result<(), ProbeError> {
    let code = answer.metadata.response_code;
    if code != ResponseCode::NoError {
        return Err(ProbeError::Rcode(format!("{code:?}").to_uppercase()));
    }
    // An alias that leads nowhere is an answer, but none of the type asked for.
    let wanted = answer.queries.first().map(Query::query_type);
    let found = answer.answers.iter().any(|record| Some(record.record_type()) == wanted);
    if found { Ok(()) } else { Err(ProbeError::NoRecord) }
}
