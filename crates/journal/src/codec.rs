//! How ids and instants of the vocabulary are written in CBOR.

/// An id as its 16 bytes.
pub(crate) mod request_id {
    use access::RequestId;
    use minicbor::decode::{Decoder, Error as Undecodable};
    use minicbor::encode::{Encoder, Error as Unencodable, Write};

    pub(crate) fn encode<C, W: Write>(
        id: &RequestId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), Unencodable<W::Error>> {
        e.bytes(id.as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<RequestId, Undecodable> {
        let bytes = d.bytes()?.try_into().map_err(|_| Undecodable::message("an id has 16 bytes"))?;
        Ok(RequestId::from_bytes(bytes))
    }
}

/// An instant as its microseconds since the epoch.
pub(crate) mod timestamp {
    use access::Timestamp;
    use minicbor::decode::{Decoder, Error as Undecodable};
    use minicbor::encode::{Encoder, Error as Unencodable, Write};

    pub(crate) fn encode<C, W: Write>(
        at: &Timestamp,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), Unencodable<W::Error>> {
        e.i64(at.as_micros())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Timestamp, Undecodable> {
        d.i64().map(Timestamp::from_micros)
    }
}

/// A revision as its number.
pub(crate) mod revision {
    use access::Revision;
    use minicbor::decode::{Decoder, Error as Undecodable};
    use minicbor::encode::{Encoder, Error as Unencodable, Write};

    pub(crate) fn encode<C, W: Write>(
        revision: &Revision,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), Unencodable<W::Error>> {
        e.u64(revision.number())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Revision, Undecodable> {
        d.u64().map(Revision::from_number)
    }
}
