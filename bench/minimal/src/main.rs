//! The minimal server that the benchmark compares with.

fn main() {}
