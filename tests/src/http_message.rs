//! HTTP/1.1 messages as the tests read them: as plainly as can be, and with nothing of Sluice's own parser.

use std::io::{self, Read};

/// A message that came whole, or its head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Start line and fields, each with its line end, without the empty line.
    pub head: String,
    /// The content, without any framing.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: String,
}

/// Where a message's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// Where its fields say; nowhere else.
    AsFieldsSay,
    /// As fields say; without any, at the end of the connection.
    AtClose,
    /// There is none, whatever the fields say.
    NoBody,
}

impl Message {
    /// Reads a message. `None`: the connection has ended in order before it.
    pub fn read(mut from: impl Read, end: BodyEnd) -> io::Result<Option<Self>> {
        let Some(mut message) = Self::read_head(&mut from)? else { return Ok(None) };
        message.read_body(from, end)?;
        Ok(Some(message))
    }

    /// Reads a head. `None`: the connection has ended in order before it.
    pub fn read_head(mut from: impl Read) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if from.read(&mut byte)? == 0 {
                return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            head.extend(byte);
        }
        head.truncate(head.len() - 2);
        Ok(Some(Self { head: String::from_utf8_lossy(&head).into_owned(), ..Self::default() }))
    }

    /// Reads what follows the head.
    pub fn read_body(&mut self, mut from: impl Read, end: BodyEnd) -> io::Result<()> {
        let length = self.field("content-length").map(|length| length.parse().expect("it is a number"));
        let is_chunked = self.field("transfer-encoding").is_some_and(|coding| coding == "chunked");
        assert!(!(length.is_some() && is_chunked), "two ways to frame a body: {}", self.head);
        match (end, length) {
            (BodyEnd::NoBody, _) => {}
            (_, Some(length)) => {
                self.body = vec![0; length];
                from.read_exact(&mut self.body)?;
            }
            (_, None) if is_chunked => self.read_chunks(from)?,
            (BodyEnd::AtClose, None) => {
                from.read_to_end(&mut self.body)?;
            }
            (BodyEnd::AsFieldsSay, None) => {}
        }
        Ok(())
    }

    fn read_chunks(&mut self, mut from: impl Read) -> io::Result<()> {
        loop {
            let line = read_line(&mut from)?;
            let size =
                usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("{line:?} is no chunk size"));
            if size == 0 {
                break;
            }
            let before = self.body.len();
            self.body.resize(before + size, 0);
            from.read_exact(self.body.get_mut(before..).expect("it was made so long"))?;
            assert_eq!(read_line(&mut from)?, "", "a chunk ends with its line");
        }
        loop {
            let line = read_line(&mut from)?;
            if line.is_empty() {
                return Ok(());
            }
            self.trailers += &format!("{line}\r\n");
        }
    }

    /// The first line.
    pub fn start_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_else(|_| panic!("no status in {:?}", self.head))
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    fn word(&self, place: usize) -> &str {
        self.start_line().split(' ').nth(place).unwrap_or_default()
    }

    /// The values of all fields of this name.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of the one field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() < 2, "{name} more than once: {}", self.head);
        values.first().copied()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn read_line(mut from: impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        line.extend(byte);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(io::Error::other)
}
