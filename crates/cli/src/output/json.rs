//! Messages for a program.

use kanat_sync::message::Message;

/// One JSON object.
pub(super) fn render(message: Message<'_>) -> String {
    message.to_line()
}
