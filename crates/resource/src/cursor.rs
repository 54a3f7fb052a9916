/// Makes and reads cursors.
#[derive(Debug, Clone)]
pub struct Cursors([u8; 32]);
impl Cursors {
    /// With this key.
    pub const fn new(key: [u8; 32]) -> Self { Self(key) }
}
