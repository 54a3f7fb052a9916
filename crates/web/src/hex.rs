/// The digits of hexadecimal numbers, as request ids and entity tags write them.
pub(crate) const DIGITS: &[u8; 16] = b"0123456789abcdef";
