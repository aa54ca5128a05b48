//! Packets with binary attachments: the text comes first, then each attachment as a message of its own.
//! It promises to hold no more than one packet of the connection's limit, and to refuse what comes in between.
//! Source: <https://socket.io/docs/v4/socket-io-protocol/#packet-encoding>.

use bytes::Bytes;

use super::{Namespaces, out_of_order};
use crate::{
    close::{DisconnectReason, Ending},
    host::Host,
    packet::{Packet, PacketError, has_valid_placeholders},
};

/// A packet whose attachments have not all come.
pub(super) struct Partial {
    text: Box<str>,
    missing: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

impl<H: Host> Namespaces<H> {
    /// Handles the text of one Engine.IO message.
    pub(super) fn on_text(&mut self, text: &str) -> Result<(), Ending> {
        if self.partial.is_some() {
            return out_of_order();
        }
        let packet = Packet::parse(text)?;
        let (Packet::Event {
            array, attachments, ..
        }
        | Packet::Ack {
            array, attachments, ..
        }) = packet
        else {
            return self.on_packet(packet, Vec::new());
        };
        let Some(missing) = attachments else {
            return self.on_packet(packet, Vec::new());
        };
        if !has_valid_placeholders(array, missing) {
            return Err(PacketError::Payload.into());
        }
        if missing == 0 {
            return self.on_packet(packet, Vec::new());
        }
        self.partial = Some(Box::new(Partial {
            text: text.into(),
            missing,
            attachments: Vec::with_capacity(missing),
            bytes: text.len(),
        }));
        Ok(())
    }

    /// Handles the bytes of one Engine.IO message.
    pub(super) fn on_attachment(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        let Some(mut partial) = self.partial.take() else {
            return out_of_order();
        };
        partial.bytes += bytes.len();
        if partial.bytes > self.connection.payload_max() {
            return Err(DisconnectReason::TooBig.into());
        }
        partial.attachments.push(Bytes::copy_from_slice(bytes));
        partial.missing -= 1;
        if partial.missing > 0 {
            self.partial = Some(partial);
            return Ok(());
        }
        let packet = Packet::parse(&partial.text)?;
        self.on_packet(packet, partial.attachments)
    }
}
