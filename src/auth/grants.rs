//! Proof that a right was asked for: the hub's calls want one of these, and only an [`crate::auth::identity::Identity`] gives
//! them. Each names its room and its person, lives for one call, and is asked for anew for every frame.

use crate::{
    auth::{
        identity::Identity,
        rights::{Rooms, Scope},
    },
    domain::{ids::UserId, room_name::RoomId},
};

/// The identity lacks the right. Whether the room exists is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity lacks the right")]
pub struct Forbidden;

/// May join the room.
#[derive(Debug)]
pub struct JoinGrant(Grant);

/// May read the room's history and presence.
#[derive(Debug)]
pub struct ReadGrant(Grant);

/// May send into the room.
#[derive(Debug)]
pub struct SendGrant(Grant);

/// May publish into the room as a service.
#[derive(Debug)]
pub struct PublishGrant(Grant);

/// May delete what others said in the room.
#[derive(Debug)]
pub struct ModerateGrant(Grant);

/// May do what concerns no room alone: erase a person.
#[derive(Debug)]
pub struct AdminGrant(UserId);

impl AdminGrant {
    /// Who may.
    pub fn user(&self) -> UserId {
        self.0
    }

    /// Without an identity, for tests of what a grant opens.
    #[cfg(test)]
    pub(crate) fn of(user: UserId) -> Self {
        Self(user)
    }
}

#[derive(Debug)]
struct Grant {
    room: RoomId,
    user: UserId,
}

impl JoinGrant {
    /// The room that may be joined.
    pub fn room(&self) -> &RoomId {
        &self.0.room
    }

    /// Who may join.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// Without an identity, for tests of what a grant opens.
    #[cfg(test)]
    pub(crate) fn of(room: &RoomId, user: UserId) -> Self {
        Self(Grant {
            room: room.clone(),
            user,
        })
    }
}

impl ReadGrant {
    /// The room that may be read.
    pub fn room(&self) -> &RoomId {
        &self.0.room
    }

    /// Who may read.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// Without an identity, for tests of what a grant opens.
    #[cfg(test)]
    pub(crate) fn of(room: &RoomId, user: UserId) -> Self {
        Self(Grant {
            room: room.clone(),
            user,
        })
    }
}

impl SendGrant {
    /// The room that may be sent into.
    pub fn room(&self) -> &RoomId {
        &self.0.room
    }

    /// Who may send.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// Without an identity, for tests of what a grant opens.
    #[cfg(test)]
    pub(crate) fn of(room: &RoomId, user: UserId) -> Self {
        Self(Grant {
            room: room.clone(),
            user,
        })
    }
}

impl PublishGrant {
    /// The room that may be published into.
    pub fn room(&self) -> &RoomId {
        &self.0.room
    }

    /// Who may publish.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// Without an identity, for tests of what a grant opens.
    #[cfg(test)]
    pub(crate) fn of(room: &RoomId, user: UserId) -> Self {
        Self(Grant {
            room: room.clone(),
            user,
        })
    }
}

impl ModerateGrant {
    /// The room that may be moderated.
    pub fn room(&self) -> &RoomId {
        &self.0.room
    }

    /// Who may moderate.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// Without an identity, for tests of what a grant opens.
    #[cfg(test)]
    pub(crate) fn of(room: &RoomId, user: UserId) -> Self {
        Self(Grant {
            room: room.clone(),
            user,
        })
    }
}

impl Identity {
    /// `chat:read`, in a room of the token or of the defaults.
    pub fn may_join(&self, room: &RoomId) -> Result<JoinGrant, Forbidden> {
        self.grant(Scope::Read, Rooms::open, room).map(JoinGrant)
    }

    /// As [`Identity::may_join`].
    pub fn may_read(&self, room: &RoomId) -> Result<ReadGrant, Forbidden> {
        self.grant(Scope::Read, Rooms::open, room).map(ReadGrant)
    }

    /// `chat:send`, in a room of the token or of the defaults.
    pub fn may_send(&self, room: &RoomId) -> Result<SendGrant, Forbidden> {
        self.grant(Scope::Send, Rooms::open, room).map(SendGrant)
    }

    /// `chat:publish`, in a room that the token itself names: no default makes a service.
    pub fn may_publish(&self, room: &RoomId) -> Result<PublishGrant, Forbidden> {
        self.grant(Scope::Publish, Rooms::opened_by_claim, room)
            .map(PublishGrant)
    }

    /// `chat:admin`, which no room limits.
    pub fn may_administer(&self) -> Result<AdminGrant, Forbidden> {
        if self.scopes().has(Scope::Admin) {
            Ok(AdminGrant(self.user()))
        } else {
            Err(Forbidden)
        }
    }

    /// `chat:moderate`, in a room that the token itself names, whether or not it may be read: no default makes a moderator.
    pub fn may_moderate(&self, room: &RoomId) -> Result<ModerateGrant, Forbidden> {
        self.grant(Scope::Moderate, Rooms::opened_by_claim, room)
            .map(ModerateGrant)
    }

    fn grant(
        &self,
        scope: Scope,
        opens: fn(&Rooms, &RoomId) -> bool,
        room: &RoomId,
    ) -> Result<Grant, Forbidden> {
        if self.scopes().has(scope) && opens(self.rooms(), room) {
            Ok(Grant {
                room: room.clone(),
                user: self.user(),
            })
        } else {
            Err(Forbidden)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        auth::{
            identity::{Identity, IdentityParts},
            rights::{RoomPattern, Rooms, Scopes},
        },
        domain::room_name::RoomId,
    };

    fn identity(scopes: &[&str], rooms: Rooms) -> Identity {
        Identity::from_verified(IdentityParts {
            scopes: Scopes::from_words(scopes.iter().copied()),
            rooms,
            ..IdentityParts::new("https://idp.example", "alice")
        })
    }

    fn lobby() -> Vec<RoomPattern> {
        vec![RoomPattern::parse("lobby", 64).expect("a name")]
    }

    fn room(name: &str) -> RoomId {
        RoomId::parse(name, 64).expect("a name")
    }

    #[test]
    fn a_grant_wants_the_scope_and_the_room() {
        for (scopes, read, send, publish, moderate) in [
            (&["chat:read"][..], true, false, false, false),
            (&["chat:send"], false, true, false, false),
            (&["chat"], true, true, false, false),
            (&["chat:publish"], false, false, true, false),
            (&["chat:moderate"], false, false, false, true),
            (&["chat:admin"], false, false, false, false),
        ] {
            let identity = identity(scopes, Rooms::claimed(lobby()));
            let lobby = room("lobby");
            assert_eq!(identity.may_join(&lobby).is_ok(), read, "{scopes:?}");
            assert_eq!(identity.may_read(&lobby).is_ok(), read, "{scopes:?}");
            assert_eq!(identity.may_send(&lobby).is_ok(), send, "{scopes:?}");
            assert_eq!(identity.may_publish(&lobby).is_ok(), publish, "{scopes:?}");
            assert_eq!(
                identity.may_moderate(&lobby).is_ok(),
                moderate,
                "{scopes:?}"
            );
            let other = room("other");
            assert!(identity.may_join(&other).is_err());
            assert!(identity.may_read(&other).is_err());
            assert!(identity.may_send(&other).is_err());
            assert!(identity.may_publish(&other).is_err());
            assert!(identity.may_moderate(&other).is_err());
        }
    }

    #[test]
    fn default_rooms_make_no_service_and_no_moderator() {
        let scopes = &["chat", "chat:publish", "chat:moderate"];
        let identity = identity(scopes, Rooms::by_default(lobby()));
        assert!(identity.may_send(&room("lobby")).is_ok());
        assert!(identity.may_publish(&room("lobby")).is_err());
        assert!(identity.may_moderate(&room("lobby")).is_err());
    }

    #[test]
    fn a_grant_names_its_room_and_person() {
        let scopes = &["chat", "chat:publish", "chat:moderate"];
        let identity = identity(scopes, Rooms::claimed(lobby()));
        let lobby = room("lobby");
        let (user, granted) = (identity.user(), "granted");
        let join = identity.may_join(&lobby).expect(granted);
        assert_eq!((join.room(), join.user()), (&lobby, user));
        let read = identity.may_read(&lobby).expect(granted);
        assert_eq!((read.room(), read.user()), (&lobby, user));
        let send = identity.may_send(&lobby).expect(granted);
        assert_eq!((send.room(), send.user()), (&lobby, user));
        let publish = identity.may_publish(&lobby).expect(granted);
        assert_eq!((publish.room(), publish.user()), (&lobby, user));
        let moderate = identity.may_moderate(&lobby).expect(granted);
        assert_eq!((moderate.room(), moderate.user()), (&lobby, user));
    }
}
