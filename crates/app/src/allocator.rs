#![expect(unsafe_code, reason = "the crate mimalloc has no way to mi_collect")]

/// The allocator that is measured fastest here, for a program that wants it:
/// `#[global_allocator] static ALLOCATOR: mainstay::Allocator = mainstay::Allocator;`
pub use mimalloc::MiMalloc as Allocator;

// mimalloc.h. Declared here, and not by libmimalloc-sys's feature `extended`, which brings another crate for its C types.
unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives the system back what was freed. Of itself the allocator does so at the earliest a second later, and only once
/// something else is allocated or freed: after the last of many log-ins, that is the memory of their hashes. Where a
/// program has another allocator, nothing is done.
pub(crate) fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    unsafe { mi_collect(true) }
}
