use mainstay::SettingsOf;

/// How books are lent out.
#[mainstay::settings]
#[derive(Debug, Clone, PartialEq)]
pub struct LibrarySettings {
    /// Longest time for which a book is lent out, in days, 1–365.
    pub longest_loan_days: u32,
}

impl Default for LibrarySettings {
    fn default() -> Self {
        Self { longest_loan_days: 28 }
    }
}

impl SettingsOf for LibrarySettings {
    fn validate(&self) -> Result<(), String> {
        match self.longest_loan_days {
            1..=365 => Ok(()),
            days => Err(format!("longest_loan_days is {days}; it must be from 1 to 365")),
        }
    }
}
