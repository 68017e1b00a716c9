//! ShareGPT: `conversations` of `from` and `value`.

use super::Exchange;
use super::messages::conversation;
use super::row::Row;
use super::turns::FROM_VALUE;
use crate::record::Fault;

pub fn read<'a>(row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    conversation(row, &["conversations", "messages"], FROM_VALUE)
}
