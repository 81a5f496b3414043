//! Protobuf's wire: varints, tags, lengths.

use super::Error;

/// A field as it lies on the wire.
pub(super) enum Raw<'b> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'b [u8]),
    /// Of a type that no message of ours has.
    Other(u8),
}

impl Raw<'_> {
    pub(super) fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Other(kind) => *kind,
        }
    }
}

/// The fields of a message, one after another.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    pub(super) fn next(&mut self) -> Result<Option<(u32, Raw<'b>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Error::Overflow)?;
        let raw = match u8::try_from(tag & 7).unwrap_or_default() {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.take(8)?.try_into().map_err(|_| Error::End)?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Error::End)?;
                Raw::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Raw::Other(5)
            }
            other => return Err(Error::Invalid(format!("illegal wireType {other}"))),
        };
        Ok(Some((number, raw)))
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Error::End)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Error::End)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::Overflow)
    }
}

pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or_default());
}

pub(super) fn put_number(field: u32, number: i64, out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3, out);
    put_varint(number.cast_unsigned(), out);
}

pub(super) fn put_float(field: u32, number: f64, out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 1, out);
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes what `inner` writes as one field, its length before it.
pub(super) fn put_nested(field: u32, out: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>)) {
    put_varint(u64::from(field) << 3 | 2, out);
    let start = out.len();
    inner(out);
    // Most messages are shorter than 128 bytes: then one byte moves in.
    let mut length = Vec::with_capacity(4);
    put_varint((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
}
