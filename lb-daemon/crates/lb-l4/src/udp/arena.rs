//! Where flows are kept, and how they are told apart.

/// A flow, for as long as it has the same backend. No two are the same, even if one begins where another has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlowId {
    slot: Slot,
    serial: u64,
}

impl FlowId {
    pub(super) fn slot(self) -> Slot {
        self.slot
    }

    /// What tells it apart from the other flows of this moment: whoever begins when it has ended may have the same.
    pub(crate) fn token(self) -> u64 {
        self.slot.0.into()
    }
}

/// A place for a flow, which others have had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Values with an id each. Has as many slots as there ever were values at once.
#[derive(Debug)]
pub(super) struct Arena<T> {
    entries: Vec<Option<(u64, T)>>,
    free: Vec<Slot>,
    /// The last id's. Would take centuries to come round.
    serial: u64,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), serial: 0 }
    }
}

impl<T> Arena<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Slot {
        self.serial += 1;
        let entry = Some((self.serial, value));
        let free = self.free.pop().and_then(|slot| Some((slot, self.entries.get_mut(slot.index())?)));
        if let Some((slot, place)) = free {
            *place = entry;
            return slot;
        }
        self.entries.push(entry);
        // A flow has a descriptor, which is an i32.
        Slot(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
    }

    /// Gives the value in `slot` another id; the one before is void.
    pub(super) fn renew(&mut self, slot: Slot) -> FlowId {
        self.serial += 1;
        if let Some(Some((serial, _))) = self.entries.get_mut(slot.index()) {
            *serial = self.serial;
        }
        FlowId { slot, serial: self.serial }
    }

    pub(super) fn get(&self, id: FlowId) -> Option<&T> {
        let (serial, value) = self.entries.get(id.slot.index())?.as_ref()?;
        (*serial == id.serial).then_some(value)
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut T> {
        let (serial, value) = self.entries.get_mut(id.slot.index())?.as_mut()?;
        (*serial == id.serial).then_some(value)
    }

    /// The value in `slot`, whichever it is, and its id.
    pub(super) fn at_mut(&mut self, slot: Slot) -> Option<(FlowId, &mut T)> {
        let (serial, value) = self.entries.get_mut(slot.index())?.as_mut()?;
        Some((FlowId { slot, serial: *serial }, value))
    }

    pub(super) fn remove(&mut self, id: FlowId) -> Option<T> {
        let entry = self.entries.get_mut(id.slot.index())?;
        let (_, value) = entry.take_if(|(serial, _)| *serial == id.serial)?;
        self.free.push(id.slot);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0..).map(Slot).zip(&self.entries).filter_map(|(slot, entry)| Some((slot, &entry.as_ref()?.1)))
    }

    /// Takes all values out. Their ids remain void for ever.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (FlowId, T)> + use<T> {
        self.free.clear();
        let entries = std::mem::take(&mut self.entries);
        (0..).map(Slot).zip(entries).filter_map(|(slot, entry)| {
            let (serial, value) = entry?;
            Some((FlowId { slot, serial }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_is_void_though_its_slot_is_used_again() {
        let mut arena = Arena::default();
        let slot = arena.insert('a');
        let (a, _) = arena.at_mut(slot).unwrap();
        assert_eq!(arena.remove(a), Some('a'));
        assert_eq!(arena.insert('b'), slot, "the slot is used again");
        assert!(arena.get(a).is_none() && arena.get_mut(a).is_none() && arena.remove(a).is_none());
        let (b, _) = arena.at_mut(slot).unwrap();
        let renewed = arena.renew(slot);
        assert_eq!((arena.get(b), arena.get(renewed)), (None, Some(&'b')));
        assert_eq!(arena.take_all().collect::<Vec<_>>(), [(renewed, 'b')]);
        arena.insert('c');
        assert_eq!((arena.get(renewed), arena.len()), (None, 1));
    }

    #[test]
    fn does_not_grow_with_those_that_have_gone() {
        let mut arena = Arena::default();
        for value in 0..1000 {
            let slots = [arena.insert(value), arena.insert(value)];
            for slot in slots {
                let (id, _) = arena.at_mut(slot).unwrap();
                assert_eq!(arena.remove(id), Some(value));
            }
        }
        assert_eq!((arena.len(), arena.entries.len()), (0, 2));
    }
}
