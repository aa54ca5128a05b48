//! How frames travel on one connection: as text, or as one continuous zstd stream in binary messages.
//! Each message ends with a flush, not with the end of a zstd frame, so that a client can read it at once and needs
//! everything before it. <https://discord.com/developers/docs/events/gateway#transport-compression>.

use std::io::{self, Write as _};

use zstd::stream::write::Encoder;

/// The fastest level: many small messages on a connection of this machine.
const LEVEL: i32 = 1;

/// What a connection's messages are.
pub(super) enum Wire {
    Plain,
    Zstd(Box<Encoder<'static, Vec<u8>>>),
}

/// Why a frame did not go out.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the client is gone")]
    Closed(#[source] actix_ws::Closed),
    #[error("the compression failed")]
    Compression(#[source] io::Error),
}

/// A message of the WebSocket.
enum Packed {
    Text(String),
    Binary(Vec<u8>),
}

impl Wire {
    /// The wire that the gateway's URL asks for. Whatever is not known is answered in plain text.
    pub(super) fn new(compress: Option<&str>) -> io::Result<Self> {
        match compress {
            Some("zstd-stream") => Ok(Self::Zstd(Box::new(Encoder::new(Vec::new(), LEVEL)?))),
            _ => Ok(Self::Plain),
        }
    }

    /// Sends a frame.
    pub(super) async fn send(
        &mut self,
        socket: &mut actix_ws::Session,
        frame: String,
    ) -> Result<(), WireError> {
        match self.pack(frame).map_err(WireError::Compression)? {
            Packed::Text(text) => socket.text(text).await,
            Packed::Binary(bytes) => socket.binary(bytes).await,
        }
        .map_err(WireError::Closed)
    }

    fn pack(&mut self, frame: String) -> io::Result<Packed> {
        match self {
            Self::Plain => Ok(Packed::Text(frame)),
            Self::Zstd(stream) => {
                stream.write_all(frame.as_bytes())?;
                stream.flush()?;
                Ok(Packed::Binary(std::mem::take(stream.get_mut())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_can_be_read_at_once_and_the_second_only_after_the_first() {
        let mut wire = Wire::new(Some("zstd-stream")).unwrap();
        let mut pack = |text: &str| match wire.pack(text.to_owned()).unwrap() {
            Packed::Binary(bytes) => bytes,
            Packed::Text(_) => panic!("not compressed"),
        };
        let (first, second) = (pack("hello"), pack("world"));
        let mut decoder = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
        decoder.write_all(&first).unwrap();
        decoder.flush().unwrap();
        assert_eq!(decoder.get_ref(), b"hello");
        decoder.write_all(&second).unwrap();
        decoder.flush().unwrap();
        assert_eq!(decoder.get_ref(), b"helloworld");
        assert!(zstd::stream::decode_all(second.as_slice()).is_err());
    }

    #[test]
    fn an_unknown_compression_is_none() {
        let mut wire = Wire::new(Some("rot13")).unwrap();
        assert!(matches!(wire.pack("x".to_owned()), Ok(Packed::Text(text)) if text == "x"));
    }
}
