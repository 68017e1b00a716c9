//! One record batch of list columns as an Arrow IPC message, written without a copy.
//!
//! arrow-rs gathers a batch's buffers in one of its own before it writes them, which for rows of
//! tokens is a copy of all output. Here the buffers go to the file as they are. No value is null,
//! so the validity bitmaps are left out, as the format allows.

use std::io::{self, Write};

use arrow_ipc::{
    Buffer, FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder,
};
use flatbuffers::FlatBufferBuilder;

/// Buffers begin at multiples of this, as the format recommends.
const ALIGNMENT: usize = 64;
/// Before a message: that one follows (−1), and its length.
const PREFIX: usize = 8;

/// A list column: where each row begins, and all its values.
pub struct List<'a> {
    /// How many values there are.
    pub count: usize,
    /// Rows + 1 offsets, 32 bits each.
    pub offsets: &'a [u8],
    /// The values.
    pub values: &'a [u8],
}

/// Writes a batch of `rows` rows to a stream that is aligned.
pub fn write_lists(out: &mut impl Write, rows: usize, columns: &[List<'_>]) -> io::Result<()> {
    let mut nodes = Vec::new();
    let mut buffers = Vec::new();
    let mut body = 0_i64;
    for column in columns {
        nodes.push(FieldNode::new(rows as i64, 0));
        nodes.push(FieldNode::new(column.count as i64, 0));
        for bytes in [column.offsets, column.values] {
            buffers.push(Buffer::new(body, 0)); // no validity
            buffers.push(Buffer::new(body, bytes.len() as i64));
            body += bytes.len().next_multiple_of(ALIGNMENT) as i64;
        }
    }
    let mut builder = FlatBufferBuilder::new();
    let nodes = builder.create_vector(&nodes);
    let buffers = builder.create_vector(&buffers);
    let mut batch = RecordBatchBuilder::new(&mut builder);
    batch.add_length(rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    let header = batch.finish().as_union_value();
    let mut message = MessageBuilder::new(&mut builder);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(MessageHeader::RecordBatch);
    message.add_header(header);
    message.add_bodyLength(body);
    let root = message.finish();
    builder.finish(root, None);
    let head = builder.finished_data();
    let length = (PREFIX + head.len()).next_multiple_of(ALIGNMENT) - PREFIX;
    out.write_all(&(-1_i32).to_le_bytes())?;
    out.write_all(&(length as i32).to_le_bytes())?;
    out.write_all(head)?;
    out.write_all(&[0; ALIGNMENT][..length - head.len()])?;
    for column in columns {
        for bytes in [column.offsets, column.values] {
            out.write_all(bytes)?;
            let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
            out.write_all(&[0; ALIGNMENT][..padding])?;
        }
    }
    Ok(())
}
