//! Files packed by gzip or zstd, unpacked as they come: a small file may unpack to any size, so that what is at hand at
//! any time is bounded by the format and never by what the file claims.

use std::io::{Read as _, Write as _};

use flate2::read::MultiGzDecoder as MultiGzReader;
use flate2::write::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, DEFAULT_MAX_WINDOW_SIZE, FrameDecoder, StreamingDecoder};

use crate::error::{Error, Result};

/// Compression format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// gzip, of one member or several.
    Gzip,
    /// zstd, of one frame or several.
    Zstd,
}

/// Packed bytes that are taken at a time; gzip makes a thousand times as many of them at the most.
const STEP: usize = 4 << 10;
/// Bytes of a zstd block, its header and its frame's header and checksum at the most.
const BLOCK: usize = (128 << 10) + 64;
/// Advice for a damaged file.
const FIX: &str = "It was probably cut off or changed: fetch it again";

impl Packing {
    /// Recognises the format by the first bytes of a file; none if it is not packed.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // A frame that is to be skipped, with which parallel tools begin.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name of the file inside: that of the packed one without its ending.
    pub fn inner_name(self, name: &str) -> &str {
        let endings: &[&str] = match self {
            Self::Gzip => &[".gz", ".gzip"],
            Self::Zstd => &[".zst", ".zstd"],
        };
        let ending = endings.iter().find_map(|ending| {
            let at = name.len().checked_sub(ending.len())?;
            name.get(at..).filter(|end| end.eq_ignore_ascii_case(ending)).map(|_| at)
        });
        ending.and_then(|at| name.get(..at)).unwrap_or(name)
    }
}

/// Unpacks a file that comes in pieces of any size.
pub struct Unpacker {
    name: String,
    kind: Kind,
}

enum Kind {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<Zstd>),
}

/// A zstd file between two blocks.
struct Zstd {
    decoder: FrameDecoder,
    /// In a frame, whose header was read.
    inside: bool,
    /// Bytes that are to be skipped.
    skip: u64,
    pending: Vec<u8>,
}

impl Unpacker {
    /// At the beginning of a file, which messages call `name`.
    pub fn new(packing: Packing, name: &str) -> Self {
        let kind = match packing {
            Packing::Gzip => Kind::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Packing::Zstd => {
                Kind::Zstd(Box::new(Zstd { decoder: FrameDecoder::new(), inside: false, skip: 0, pending: Vec::new() }))
            }
        };
        Self { name: name.to_owned(), kind }
    }

    /// Takes the next bytes of the file and hands on what they unpack to, piece by piece. After an error nothing more
    /// can be unpacked.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &mut self.kind {
            Kind::Gzip(decoder) => {
                for step in bytes.chunks(STEP) {
                    let taken = decoder.write_all(step);
                    hand_on(decoder, sink)?;
                    taken.map_err(|e| damaged(&e, &self.name))?;
                }
                Ok(())
            }
            Kind::Zstd(zstd) => {
                for step in bytes.chunks(BLOCK) {
                    zstd.pending.extend(step);
                    zstd.run(BLOCK, &self.name, sink)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the file; an error if it was cut off.
    pub fn end(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &mut self.kind {
            Kind::Gzip(decoder) => {
                let ended = decoder.try_finish();
                hand_on(decoder, sink)?;
                ended.map_err(|e| damaged(&e, &self.name))
            }
            Kind::Zstd(zstd) => {
                zstd.run(1, &self.name, sink)?;
                match zstd.inside || zstd.skip > 0 {
                    true => Err(damaged(&"it ends within a frame", &self.name)),
                    false => Ok(()),
                }
            }
        }
    }
}

fn hand_on(decoder: &mut MultiGzDecoder<Vec<u8>>, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let unpacked = std::mem::take(decoder.get_mut());
    if unpacked.is_empty() { Ok(()) } else { sink(&unpacked) }
}

impl Zstd {
    /// Unpacks block by block, as long as `least` bytes are there.
    fn run(&mut self, least: usize, name: &str, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut used = 0;
        let mut done = Ok(());
        while done.is_ok() && self.pending.len() - used >= least {
            let rest = self.pending.get(used..).unwrap_or_default();
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len() as u64);
                self.skip -= skipped;
                used += skipped as usize;
                continue;
            }
            let mut left = rest;
            let unpacked = if self.inside {
                step(&mut self.decoder, &mut left)
            } else {
                begin(&mut self.decoder, &mut left).map(|skip| {
                    self.skip = skip;
                    Vec::new()
                })
            };
            self.inside = self.skip == 0 && !self.decoder.is_finished();
            used += rest.len() - left.len();
            done = match unpacked {
                Ok(unpacked) if unpacked.is_empty() => Ok(()),
                Ok(unpacked) => sink(&unpacked),
                Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => Err(Error::input(
                    format!("Unpacking needs {} MiB of memory", requested >> 20),
                    "Compress it with a smaller window (zstd without --long)",
                    name,
                )),
                Err(e) => Err(damaged(&e, name)),
            };
        }
        self.pending.drain(..used);
        done
    }
}

/// Reads the header of a frame. Returns the bytes that follow if it is one that is to be skipped.
fn begin(decoder: &mut FrameDecoder, bytes: &mut &[u8]) -> std::result::Result<u64, FrameDecoderError> {
    match decoder.reset(bytes) {
        Ok(()) => Ok(0),
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            Ok(u64::from(length))
        }
        Err(e) => Err(e),
    }
}

/// Unpacks one block.
fn step(decoder: &mut FrameDecoder, bytes: &mut &[u8]) -> std::result::Result<Vec<u8>, FrameDecoderError> {
    decoder.decode_blocks(bytes, BlockDecodingStrategy::UptoBlocks(1))?;
    Ok(decoder.collect().unwrap_or_default())
}

/// Unpacks a part of a file that must have `size` bytes; the message says what is wrong with it.
pub(super) fn unpack_part(packing: Packing, bytes: &[u8], size: usize) -> std::result::Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    // One byte more tells that there are too many.
    let most = size as u64 + 1;
    let read = match packing {
        Packing::Gzip => MultiGzReader::new(bytes).take(most).read_to_end(&mut unpacked),
        Packing::Zstd => match StreamingDecoder::new_with_max_window_size(bytes, DEFAULT_MAX_WINDOW_SIZE) {
            Ok(decoder) => decoder.take(most).read_to_end(&mut unpacked),
            Err(e) => return Err(e.to_string()),
        },
    };
    match read {
        Err(e) => Err(e.to_string()),
        Ok(_) if unpacked.len() != size => Err(format!("it does not unpack to {size} bytes")),
        Ok(_) => Ok(unpacked),
    }
}

fn damaged(why: &dyn std::fmt::Display, name: &str) -> Error {
    Error::input(format!("The packed file is damaged: {why}"), FIX, name)
}
