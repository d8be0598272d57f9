//! The library itself.

use std::env;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use candle_core::{Result, bail};

/// Names the library's file, where the system does not find it by its name.
const VARIABLE: &str = "STREFER_CUDNN";

const NAME: &str = "libcudnn.so.9";

/// The oldest version that has been tried. Those before 9.10 want masks in other words, and some after it are known to be wrong.
const OLDEST: usize = 91_900;

/// A descriptor, or a handle, as the library knows it.
pub(super) type Raw = *mut c_void;

type Create = unsafe extern "C" fn(*mut Raw) -> c_int;
type SetStream = unsafe extern "C" fn(Raw, Raw) -> c_int;
type LastError = unsafe extern "C" fn(*mut c_char, usize);
type Version = unsafe extern "C" fn() -> usize;
type CreateDescriptor = unsafe extern "C" fn(c_int, *mut Raw) -> c_int;
type OfRaw = unsafe extern "C" fn(Raw) -> c_int;
type SetAttribute = unsafe extern "C" fn(Raw, c_int, c_int, i64, *const c_void) -> c_int;
type GetAttribute = unsafe extern "C" fn(Raw, c_int, c_int, i64, *mut i64, *mut c_void) -> c_int;
type Execute = unsafe extern "C" fn(Raw, Raw, Raw) -> c_int;

/// cuDNN, loaded.
#[derive(Debug)]
pub struct Library {
    create: Create,
    destroy: OfRaw,
    set_stream: SetStream,
    last_error: LastError,
    pub(super) create_descriptor: CreateDescriptor,
    pub(super) destroy_descriptor: OfRaw,
    pub(super) finalize: OfRaw,
    pub(super) set_attribute: SetAttribute,
    pub(super) get_attribute: GetAttribute,
    pub(super) execute: Execute,
    version: usize,
    /// Stays loaded as long as what was found in it.
    _file: libloading::Library,
}

impl Library {
    /// The library of this process: the one that `STREFER_CUDNN` names, or else the system's.
    ///
    /// # Errors
    /// A file that is missing or no such library, or an old one; the same at every call.
    pub fn get() -> Result<&'static Self> {
        static LIBRARY: OnceLock<std::result::Result<Library, String>> = OnceLock::new();
        let open = || Self::open(&env::var(VARIABLE).unwrap_or_else(|_| NAME.to_owned()));
        match LIBRARY.get_or_init(|| open().map_err(|error| error.to_string())) {
            Ok(library) => Ok(library),
            Err(said) => bail!("{said}"),
        }
    }

    /// Loads the library from a file.
    ///
    /// # Errors
    /// As [`Library::get`].
    pub fn open(path: &str) -> Result<Self> {
        // SAFETY: loading cuDNN runs nothing but its own start.
        let file = match unsafe { libloading::Library::new(path) } {
            Ok(file) => file,
            Err(error) => {
                bail!("cuDNN could not be loaded; {VARIABLE} names another file. {path}: {}", cause(&error))
            }
        };
        let found = Found { file: &file, path };
        // SAFETY: the types are those of the interface since version 9.0.
        let library = unsafe {
            let version = found.named::<Version>(c"cudnnGetVersion")?();
            if version < OLDEST {
                bail!("{path}: cuDNN {version}, where {OLDEST} or later is needed");
            }
            Self {
                create: found.named(c"cudnnCreate")?,
                destroy: found.named(c"cudnnDestroy")?,
                set_stream: found.named(c"cudnnSetStream")?,
                last_error: found.named(c"cudnnGetLastErrorString")?,
                create_descriptor: found.named(c"cudnnBackendCreateDescriptor")?,
                destroy_descriptor: found.named(c"cudnnBackendDestroyDescriptor")?,
                finalize: found.named(c"cudnnBackendFinalize")?,
                set_attribute: found.named(c"cudnnBackendSetAttribute")?,
                get_attribute: found.named(c"cudnnBackendGetAttribute")?,
                execute: found.named(c"cudnnBackendExecute")?,
                version,
                _file: file,
            }
        };
        Ok(library)
    }

    /// Its version, as it counts: 91900 is 9.19.0.
    pub fn version(&self) -> usize {
        self.version
    }

    /// Fails with what the library says, unless `status` is none of failure.
    pub(super) fn check(&self, what: &str, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut said = [0 as c_char; 512];
        // SAFETY: so much room there is.
        unsafe { (self.last_error)(said.as_mut_ptr(), said.len()) };
        said[said.len() - 1] = 0;
        // SAFETY: it ends within its room.
        let said = unsafe { CStr::from_ptr(said.as_ptr()) }.to_string_lossy();
        bail!("cuDNN {}, {what}: status {status}, {said}", self.version)
    }
}

/// What the system said.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

struct Found<'a> {
    file: &'a libloading::Library,
    path: &'a str,
}

impl Found<'_> {
    /// # Safety
    /// `T` is the type of the function of this name.
    unsafe fn named<T: Copy>(&self, name: &CStr) -> Result<T> {
        // SAFETY: as the caller says.
        match unsafe { self.file.get::<T>(name.to_bytes_with_nul()) } {
            Ok(function) => Ok(*function),
            Err(error) => bail!("{} is not cuDNN 9: {}", self.path, cause(&error)),
        }
    }
}

/// The library on one card, in one stream. Used by one thread at a time.
#[derive(Debug)]
pub struct Handle {
    pub(super) raw: Raw,
    library: &'static Library,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody else has it. That it cannot be given back harms nothing but memory.
        unsafe { (self.library.destroy)(self.raw) };
    }
}

// SAFETY: a handle belongs to no thread; that only one uses it at a time, `&mut` sees to.
unsafe impl Send for Handle {}

impl Handle {
    /// For the card that is this thread's current one.
    ///
    /// # Errors
    /// What the library says of a card that it does not know.
    ///
    /// # Safety
    /// `stream` is a stream of that card, which lives as long as the handle.
    pub unsafe fn new(stream: *mut c_void) -> Result<Self> {
        let library = Library::get()?;
        let mut raw = ptr::null_mut();
        // SAFETY: there is room for a handle.
        library.check("a handle", unsafe { (library.create)(&raw mut raw) })?;
        let handle = Self { raw, library };
        // SAFETY: both are there, as the caller says.
        library.check("a handle's stream", unsafe { (library.set_stream)(raw, stream) })?;
        Ok(handle)
    }
}
