//! Whom a client certificate is for, as the audit log calls it.
//!
//! The certificate has been verified already, so this reads no more of its DER (ITU-T X.690) than it takes to get to the
//! subject: RFC 5280, section 4.1.

/// DER's tags, as far as they are on the way.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const VERSION: u8 = 0xa0;
}

/// The object identifier of a common name: 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The subject's common name, else the serial number.
pub(super) fn holder(certificate: &[u8]) -> String {
    let Some((serial, subject)) = serial_and_subject(certificate) else { return "a certificate".into() };
    match common_name(subject) {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => format!("serial {}", hex(serial)),
    }
}

fn serial_and_subject(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let certificate = Der(certificate).expect(tag::SEQUENCE)?;
    let mut fields = Der(Der(certificate).expect(tag::SEQUENCE)?);
    // Absent in version 1.
    let _version = fields.expect(tag::VERSION);
    let serial = fields.expect(tag::INTEGER)?;
    let _signature_algorithm = fields.expect(tag::SEQUENCE)?;
    let _issuer = fields.expect(tag::SEQUENCE)?;
    let _validity = fields.expect(tag::SEQUENCE)?;
    Some((serial, fields.expect(tag::SEQUENCE)?))
}

fn common_name(subject: &[u8]) -> Option<&[u8]> {
    let mut names = Der(subject);
    while let Some(set) = names.expect(tag::SET) {
        let mut attribute = Der(Der(set).expect(tag::SEQUENCE)?);
        let is_common_name = attribute.expect(tag::OBJECT_IDENTIFIER)? == COMMON_NAME;
        if is_common_name {
            return attribute.next().map(|(_string_type, value)| value);
        }
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Elements one after the other.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The content of the next element, if it is a `tag`; else it stays the next.
    fn expect(&mut self, tag: u8) -> Option<&'d [u8]> {
        if self.0.first() == Some(&tag) { self.next().map(|(_, content)| content) } else { None }
    }

    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = if length < 0x80 {
            (usize::from(length), rest)
        } else {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            // No certificate is near 4 GiB.
            let fits = digits.len() <= 4;
            let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
            (fits.then_some(length)?, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["operator.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(vec![0x1f, 0x2e]));
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn is_called_by_its_common_name_wherever_that_is() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.distinguished_name.push(DnType::CommonName, "Ada Löwe");
            params.distinguished_name.push(DnType::LocalityName, "London");
        });
        assert_eq!(holder(&der), "Ada Löwe");
    }

    #[test]
    fn is_called_by_its_serial_number_without_a_name() {
        assert_eq!(holder(&certificate(|_| {})), "serial 1f2e");
    }

    proptest! {
        #[test]
        fn broken_ones_are_no_trouble(position: prop::sample::Index, byte: u8, end: prop::sample::Index) {
            static GOOD: LazyLock<Vec<u8>> =
                LazyLock::new(|| certificate(|params| params.distinguished_name.push(DnType::CommonName, "x")));
            let mut der = GOOD.clone();
            let position = position.index(der.len());
            der[position] = byte;
            holder(&der);
            holder(&der[..end.index(der.len())]);
        }

        #[test]
        fn bytes_are_no_trouble(bytes: Vec<u8>) {
            holder(&bytes);
        }
    }
}
