//! Descriptors: what the interface's calls are made of.

use std::ffi::c_void;
use std::ptr;

use candle_core::Result;

use super::library::{Library, Raw};
use super::names::{Attribute, Kind, Of};

/// One descriptor; gone with its owner. Attributes first, then [`Descriptor::finish`], then it is used.
#[derive(Debug)]
pub(super) struct Descriptor {
    raw: Raw,
    kind: Kind,
    library: &'static Library,
}

// SAFETY: a descriptor belongs to no thread, and nothing changes one that is finished.
unsafe impl Send for Descriptor {}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: nobody else has it. That it cannot be given back harms nothing but memory.
        unsafe { (self.library.destroy_descriptor)(self.raw) };
    }
}

impl Descriptor {
    pub(super) fn new(kind: Kind) -> Result<Self> {
        let library = Library::get()?;
        let mut raw = ptr::null_mut();
        // SAFETY: there is room for a descriptor.
        let status = unsafe { (library.create_descriptor)(kind as i32, &raw mut raw) };
        library.check(&format!("a descriptor of {kind:?}"), status)?;
        Ok(Self { raw, kind, library })
    }

    pub(super) fn raw(&self) -> Raw {
        self.raw
    }

    /// Sets an attribute to values of a type whose layout is `T`'s.
    fn set<T>(self, attribute: Attribute, of: Of, values: &[T]) -> Result<Self> {
        // SAFETY: so many values of that type there are, as the methods below see to.
        let status = unsafe {
            let values_at = values.as_ptr().cast::<c_void>();
            (self.library.set_attribute)(
                self.raw,
                attribute as i32,
                of as i32,
                values.len() as i64,
                values_at,
            )
        };
        self.library.check(&format!("{attribute:?} of {:?}", self.kind), status)?;
        Ok(self)
    }

    pub(super) fn numbers(self, attribute: Attribute, numbers: &[i64]) -> Result<Self> {
        self.set(attribute, Of::Int64, numbers)
    }

    /// A number of one of the interface's own kinds.
    pub(super) fn choice(self, attribute: Attribute, of: Of, choice: i32) -> Result<Self> {
        self.set(attribute, of, &[choice])
    }

    pub(super) fn flag(self, attribute: Attribute, flag: bool) -> Result<Self> {
        self.set(attribute, Of::Boolean, &[flag])
    }

    pub(super) fn float(self, attribute: Attribute, value: f32) -> Result<Self> {
        self.set(attribute, Of::Float, &[value])
    }

    pub(super) fn text(self, attribute: Attribute, text: &str) -> Result<Self> {
        self.set(attribute, Of::Char, text.as_bytes())
    }

    pub(super) fn pointers(self, attribute: Attribute, pointers: &[*mut c_void]) -> Result<Self> {
        self.set(attribute, Of::Pointer, pointers)
    }

    pub(super) fn handle(self, attribute: Attribute, handle: Raw) -> Result<Self> {
        self.set(attribute, Of::Handle, &[handle])
    }

    pub(super) fn descriptors(self, attribute: Attribute, descriptors: &[&Self]) -> Result<Self> {
        let raw: Vec<Raw> = descriptors.iter().map(|descriptor| descriptor.raw).collect();
        self.set(attribute, Of::Descriptor, &raw)
    }

    pub(super) fn finish(self) -> Result<Self> {
        // SAFETY: it is there.
        let status = unsafe { (self.library.finalize)(self.raw) };
        self.library.check(&format!("{:?}", self.kind), status)?;
        Ok(self)
    }

    /// A number that a finished descriptor has.
    pub(super) fn number(&self, attribute: Attribute) -> Result<i64> {
        let (mut count, mut number) = (0, 0i64);
        // SAFETY: there is room for one number.
        let status = unsafe {
            let to = (&raw mut number).cast::<c_void>();
            (self.library.get_attribute)(self.raw, attribute as i32, Of::Int64 as i32, 1, &raw mut count, to)
        };
        self.library.check(&format!("{attribute:?} of {:?}", self.kind), status)?;
        Ok(number)
    }

    /// The descriptors of a kind that a finished descriptor has.
    pub(super) fn found(&self, attribute: Attribute, kind: Kind) -> Result<Vec<Self>> {
        let get = |most: i64, count: &mut i64, to: *mut c_void| {
            // SAFETY: there is room for as many as are asked for.
            let status = unsafe {
                let of = Of::Descriptor as i32;
                (self.library.get_attribute)(self.raw, attribute as i32, of, most, &raw mut *count, to)
            };
            self.library.check(&format!("{attribute:?} of {:?}", self.kind), status)
        };
        let mut count = 0;
        get(0, &mut count, ptr::null_mut())?;
        let mut found = (0..count).map(|_| Self::new(kind)).collect::<Result<Vec<_>>>()?;
        let mut raw: Vec<Raw> = found.iter().map(|descriptor| descriptor.raw).collect();
        if count > 0 {
            get(count, &mut count, raw.as_mut_ptr().cast())?;
        }
        found.truncate(count.max(0) as usize);
        Ok(found)
    }
}
