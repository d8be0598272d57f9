//! FFmpeg's demuxer and decoder of one video stream, under a deadline.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::RgbImage;
use video_rs::ffmpeg::{
    self, Packet, Rational, codec, decoder,
    ffi::{AV_PKT_FLAG_DISCARD, AVDiscard, AVSEEK_FLAG_BACKWARD, av_seek_frame},
    format::{self, Pixel, stream::Disposition},
    frame::Video as Picture,
    media,
    packet::{Ref, side_data},
    software::scaling,
    threading,
};

use super::index::Key;
use super::orientation::Orientation;
use crate::error::{Error, Result};
use crate::limits::Clock;

/// One demuxer and one decoder.
pub(super) struct Decoder {
    path: PathBuf,
    clock: Clock,
    input: format::context::Input,
    stream: usize,
    decoder: decoder::Video,
    scaler: Option<scaling::Context>,
    /// Read to see where a seek has landed, not yet decoded.
    pending: Option<Packet>,
    drained: bool,
}

/// What reading a packet gave.
pub(super) enum Read {
    Packet(PacketFacts),
    Damaged,
    End,
}

/// What the index wants to know about a packet.
pub(super) struct PacketFacts {
    pub pts: Option<i64>,
    pub dts: Option<i64>,
    pub duration: i64,
    pub is_key: bool,
    /// Bytes are missing.
    pub is_cut: bool,
    /// Needed for decoding only, never shown (an edit list cuts it away).
    pub is_discarded: bool,
}

enum Step {
    Packet(Packet),
    Damaged,
    End,
}

impl Decoder {
    /// Opens the best video stream of `path`.
    pub fn open(path: &Path, clock: Clock) -> Result<Self> {
        start_ffmpeg(path)?;
        let name = path.to_str().filter(|name| !name.contains('\0'));
        let name = name.ok_or_else(|| Error::corrupt(path, "FFmpeg takes names in UTF-8 only"))?;
        // The prefix keeps names with a colon from being taken for an address.
        let hand = clock.clone();
        let input = format::input_with_interrupt(&format!("file:{name}"), move || hand.is_over());
        let mut input = input.map_err(|error| match error {
            _ if clock.is_over() => clock.error(path),
            ffmpeg::Error::InvalidData => Error::corrupt(path, "is not a video that FFmpeg can read"),
            other => Error::corrupt(path, format!("cannot be opened: {other}")),
        })?;

        let best = input.streams().best(media::Type::Video);
        let best = best.filter(|stream| !stream.disposition().contains(Disposition::ATTACHED_PIC));
        let stream = best.ok_or_else(|| Error::NoVideoStream { path: path.into() })?;
        let index = stream.index();
        let mut context = codec::Context::from_parameters(stream.parameters()).map_err(failed(path))?;
        context.set_threading(threading::Config {
            kind: threading::Type::Frame,
            count: clock.threads.max(1),
            ..Default::default()
        });
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(stream.time_base());
        let decoder = decoder.video().map_err(failed(path))?;
        ignore_other_streams(&mut input, index);
        Ok(Self {
            path: path.into(),
            clock,
            input,
            stream: index,
            decoder,
            scaler: None,
            pending: None,
            drained: false,
        })
    }

    /// The clock it runs under.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn size(&self) -> (u32, u32) {
        (self.decoder.width(), self.decoder.height())
    }

    pub fn time_base(&self) -> Rational {
        self.stream().time_base()
    }

    pub fn average_rate(&self) -> Rational {
        self.stream().avg_frame_rate()
    }

    /// Length of a frame by the claimed rate; 25 frames a second where none is claimed.
    pub fn ticks_per_frame(&self) -> i64 {
        let rate = f64::from(self.average_rate());
        let rate = if rate > 0.0 && rate.is_finite() { rate } else { 25.0 };
        ((1.0 / rate / f64::from(self.time_base())).round() as i64).max(1)
    }

    pub fn orientation(&self) -> Orientation {
        let stream = self.stream();
        let matrix = stream.side_data().find(|data| data.kind() == side_data::Type::DisplayMatrix);
        matrix.map_or(Orientation::UPRIGHT, |matrix| Orientation::from_display_matrix(matrix.data()))
    }

    fn stream(&self) -> format::stream::Stream<'_> {
        self.input.stream(self.stream).expect("the stream was there when the file was opened")
    }

    /// The next packet of the stream, undecoded.
    pub fn read_packet(&mut self) -> Result<Read> {
        Ok(match self.step()? {
            Step::End => Read::End,
            Step::Damaged => Read::Damaged,
            Step::Packet(packet) => Read::Packet(PacketFacts {
                pts: packet.pts(),
                dts: packet.dts(),
                duration: packet.duration(),
                is_key: packet.is_key(),
                is_cut: packet.is_corrupt(),
                is_discarded: is_discarded(&packet),
            }),
        })
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            self.clock.check(&self.path)?;
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(Step::Packet(packet)),
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(Step::End),
                Err(ffmpeg::Error::InvalidData) => return Ok(Step::Damaged),
                Err(ffmpeg::Error::Exit) => return Err(self.clock.error(&self.path)),
                Err(other) => return Err(Error::corrupt(&self.path, format!("cannot be read: {other}"))),
            }
        }
    }

    /// The next decoded picture in the order of presentation. Packets that cannot be decoded are passed over: whether a
    /// picture is missed is seen where one is asked for.
    pub fn next_picture(&mut self) -> Result<Option<Picture>> {
        loop {
            self.clock.check(&self.path)?;
            let mut picture = Picture::empty();
            match self.decoder.receive_frame(&mut picture) {
                Ok(()) => return Ok(Some(picture)),
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(_) if self.drained => return Ok(None),
                Err(_) => {}
            }
            let step = match self.pending.take() {
                Some(packet) => Step::Packet(packet),
                None => self.step()?,
            };
            match step {
                Step::Packet(packet) => {
                    let _ = self.decoder.send_packet(&packet);
                }
                Step::Damaged => {}
                Step::End => {
                    self.drained = true;
                    self.decoder.send_eof().map_err(failed(&self.path))?;
                }
            }
        }
    }

    /// Moves to a key frame. False when the file cannot be entered there or before.
    pub fn seek(&mut self, key: Key) -> Result<bool> {
        // Some formats are searched by presentation time and some by decoding time: where the first lands is looked at.
        for ticks in [key.pts, key.dts] {
            self.decoder.flush();
            self.drained = false;
            self.pending = None;
            if !seek_back(&mut self.input, self.stream, ticks) {
                continue;
            }
            if let Step::Packet(packet) = self.step()? {
                let landed = packet.pts().is_some_and(|pts| pts <= key.pts);
                self.pending = Some(packet);
                if landed {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The picture in RGB, converted as swscale does by default (BT.601, like the readers that the published models were
    /// trained with), turned upright.
    pub fn convert(&mut self, picture: &Picture, orientation: Orientation) -> Result<RgbImage> {
        let (width, height) = self.size();
        let from = scaling::context::Definition {
            format: picture.format(),
            width: picture.width(),
            height: picture.height(),
        };
        let scaler = match self.scaler.take() {
            Some(scaler) if *scaler.input() == from => scaler,
            _ => {
                let flags = scaling::Flags::BICUBIC;
                scaling::Context::get(
                    from.format,
                    from.width,
                    from.height,
                    Pixel::RGB24,
                    width,
                    height,
                    flags,
                )
                .map_err(failed(&self.path))?
            }
        };
        let scaler = self.scaler.insert(scaler);
        let mut rgb = Picture::empty();
        scaler.run(picture, &mut rgb).map_err(failed(&self.path))?;
        let row = 3 * width as usize;
        let mut bytes = Vec::with_capacity(row * height as usize);
        for line in rgb.data(0).chunks(rgb.stride(0)).take(height as usize) {
            bytes.extend_from_slice(&line[..row]);
        }
        let image = RgbImage::from_raw(width, height, bytes);
        let image = image.ok_or_else(|| Error::corrupt(&self.path, "a picture has the wrong size"))?;
        Ok(orientation.apply(image))
    }
}

fn start_ffmpeg(path: &Path) -> Result<()> {
    static STARTED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| video_rs::init().map_err(|error| error.to_string()));
    started.clone().map_err(|error| Error::corrupt(path, format!("FFmpeg does not start: {error}")))
}

fn failed(path: &Path) -> impl Fn(ffmpeg::Error) -> Error {
    move |error| Error::corrupt(path, format!("cannot be decoded: {error}"))
}

fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the pointer is that of a packet borrowed for this call; only a plain number is read.
    unsafe { (*packet.as_ptr()).flags & AV_PKT_FLAG_DISCARD != 0 }
}

/// Lets the demuxer skip the bytes of all streams but one.
fn ignore_other_streams(input: &mut format::context::Input, wanted: usize) {
    for mut stream in input.streams_mut() {
        if stream.index() != wanted {
            // SAFETY: the stream belongs to the open input, and `discard` is a field that callers are meant to set.
            unsafe { (*stream.as_mut_ptr()).discard = AVDiscard::AVDISCARD_ALL };
        }
    }
}

/// Moves the demuxer to the last entry at or before `ticks` of the stream's clock.
fn seek_back(input: &mut format::context::Input, stream: usize, ticks: i64) -> bool {
    // SAFETY: the input is open and borrowed mutably; the stream index was given by it.
    unsafe { av_seek_frame(input.as_mut_ptr(), stream as i32, ticks, AVSEEK_FLAG_BACKWARD) >= 0 }
}
