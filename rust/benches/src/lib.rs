//! Benches of `limbeck-core`; see `benches/`.
