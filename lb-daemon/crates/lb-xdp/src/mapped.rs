//! A map's values in our own memory.
#![expect(unsafe_code, reason = "memory is mapped here and nowhere else")]

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::AsFd as _;
use std::ptr::{NonNull, null_mut};
use std::slice;

use aya::Ebpf;
use aya::maps::Map;
use lb_common::Shared;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// It is not in the object.
    #[error("the XDP object has no array {name}: it was not built from this version's lb-ebpf")]
    Missing {
        /// The map.
        name: &'static str,
    },
    /// Its values have another size.
    #[error("values of the XDP map {name} have {found} bytes, not {expected}: another version's map")]
    OtherLayout {
        /// The map.
        name: &'static str,
        /// Bytes of a value that this version knows.
        expected: usize,
        /// Bytes of a value that the map has.
        found: u32,
    },
    /// The kernel refused.
    #[error("cannot map the XDP map {name} into memory")]
    Refused {
        /// The map.
        name: &'static str,
        #[source]
        /// Why.
        source: io::Error,
    },
}

/// All values of an array map, shared with the kernel.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    start: NonNull<T>,
    len: usize,
    values: PhantomData<T>,
}

// SAFETY: the memory belongs to the process, not to a thread, and `T: Shared` allows access by several.
unsafe impl<T: Shared> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Mapped<T> {}

impl<T: Shared> Mapped<T> {
    /// Maps the values of the map `name`.
    pub(crate) fn new(object: &Ebpf, name: &'static str) -> Result<Self, MapError> {
        let Some(Map::Array(map)) = object.map(name) else {
            return Err(MapError::Missing { name });
        };
        let refused = |source| MapError::Refused { name, source };
        let info = map.info().map_err(|error| refused(io::Error::other(error)))?;
        if usize::try_from(info.value_size()) != Ok(size_of::<T>()) {
            return Err(MapError::OtherLayout { name, expected: size_of::<T>(), found: info.value_size() });
        }
        let len = info.max_entries() as usize;
        let (protection, fd) = (ProtFlags::READ | ProtFlags::WRITE, map.fd().as_fd());
        // SAFETY: the kernel chooses an address, so no memory of ours is touched.
        let start = unsafe { mmap(null_mut(), len * size_of::<T>(), protection, MapFlags::SHARED, fd, 0) };
        let start = start.map_err(|error| refused(error.into()))?;
        let start = NonNull::new(start.cast()).ok_or_else(|| refused(io::ErrorKind::InvalidData.into()))?;
        Ok(Self { start, len, values: PhantomData })
    }
}

impl<T: Shared> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values are mapped at `start`, which is the start of a page and so aligned. They are
        // words, which any bytes are, and whoever else writes them writes whole words. They stay mapped as long
        // as `self` lives.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// The only value of an array map, shared with the kernel.
#[derive(Debug)]
pub(crate) struct MappedOne<T>(Mapped<T>);

impl<T: Shared> MappedOne<T> {
    /// Maps the value of the map `name`.
    pub(crate) fn new(object: &Ebpf, name: &'static str) -> Result<Self, MapError> {
        let mapped = Mapped::new(object, name)?;
        if mapped.is_empty() { Err(MapError::Missing { name }) } else { Ok(Self(mapped)) }
    }
}

impl<T: Shared> Deref for MappedOne<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: as for all values, of which there is one at least: `new` has looked.
        unsafe { self.0.start.as_ref() }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: these pages were mapped by `new`, and nobody has a reference to them any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len * size_of::<T>()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
