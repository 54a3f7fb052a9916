//! A fresh app and database per test.
