//! Header fields that are set, added or removed.

use lb_http::Fields;
use lb_model::HeaderEdit;

/// Edits in their order.
#[derive(Debug)]
pub struct Edits(Box<[HeaderEdit]>);

impl Edits {
    pub(crate) fn new(edits: &[HeaderEdit]) -> Self {
        Self(edits.into())
    }

    pub(crate) fn apply(&self, fields: &mut Fields) {
        for edit in &self.0 {
            // The model has only names and values that can be written; a head of 4 GiB goes on without.
            let _ = match edit {
                HeaderEdit::Remove(name) => {
                    fields.remove(name.as_str());
                    Ok(())
                }
                HeaderEdit::Set(name, value) => fields.set(name.as_str(), value.as_str().as_bytes()),
                HeaderEdit::Add(name, value) => fields.append(name.as_str(), value.as_str().as_bytes()),
            };
        }
    }
}
