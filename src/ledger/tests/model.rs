//! Random histories against a naive model: every ban and allowance in plain lists, the kernel's sets as
//! maps that the changes are applied to and that let elements expire by themselves.

use super::*;

/// The kernel's sets: the end of every element, `None` for never.
#[derive(Default)]
struct Kernel(HashMap<(SetId, Range), Option<u32>>);
