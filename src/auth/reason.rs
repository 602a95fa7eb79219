//! Why a credential was not accepted: a label for the audit trail and the log. The client sees none of it; to the outside
//! every bad credential gets the same answer.

/// One rule that a credential broke, named by the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Longer than `limits.token_bytes_max`, or `limits.query_token_bytes_max` in a query.
    TokenTooLong,
    /// Not three parts of strict base64url.
    TokenShape,
    /// The header is no JSON object of the expected types.
    HeaderMalformed,
    /// The header has a member that this gateway never follows (`crit`, `jwk`, `zip` …).
    HeaderMember,
    /// `typ` is not in the issuer's `token_types`.
    TokenType,
    /// `alg` is unknown or not in the issuer's `algorithms`.
    Algorithm,
    /// `kid` is no string of the allowed form.
    KeyIdForm,
    /// The claims are no JSON object, or name a claim twice.
    ClaimsMalformed,
    /// `iss` names no configured issuer.
    IssuerUnknown,
    /// The issuer's key set has not been read yet.
    KeysMissing,
    /// The issuer has no key of that `kid`.
    KeyUnknown,
    /// There is no `kid`, and not exactly one key fits.
    KeyAmbiguous,
    /// The key is for another algorithm.
    KeyAlgorithm,
    /// The signature is not the key's.
    Signature,
    /// A required claim is missing.
    ClaimMissing,
    /// A claim has the wrong type.
    ClaimType,
    /// The audience is another's.
    Audience,
    /// `sub` is empty, too long or has control characters.
    Subject,
    /// `nbf` is still to come.
    NotYetValid,
    /// `iat` is still to come.
    IssuedLater,
    /// `iat` is after `exp`.
    IssuedAfterExpiry,
    /// The token lives longer than `auth.token_life_max_s`.
    LifeTooLong,
    /// A logout token, not an access token.
    LogoutToken,
    /// An ID token, not an access token.
    IdToken,
    /// The token is bound to a key whose possession cannot be proved here.
    ProofOfPossession,
    /// `auth.query_token` is `off`.
    QueryTokenOff,
    /// A query token that lives longer than `limits.query_token_life_max_s`.
    QueryTokenLife,
    /// Not the form of a ticket.
    TicketShape,
    /// No such ticket.
    TicketUnknown,
    /// The ticket was spent before.
    TicketSpent,
    /// The ticket's time is over.
    TicketExpired,
    /// The ticket was issued for another page.
    TicketOrigin,
    /// A refresh with a token that ends before the present one.
    OlderExpiry,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 33] = [
        Self::TokenTooLong,
        Self::TokenShape,
        Self::HeaderMalformed,
        Self::HeaderMember,
        Self::TokenType,
        Self::Algorithm,
        Self::KeyIdForm,
        Self::ClaimsMalformed,
        Self::IssuerUnknown,
        Self::KeysMissing,
        Self::KeyUnknown,
        Self::KeyAmbiguous,
        Self::KeyAlgorithm,
        Self::Signature,
        Self::ClaimMissing,
        Self::ClaimType,
        Self::Audience,
        Self::Subject,
        Self::NotYetValid,
        Self::IssuedLater,
        Self::IssuedAfterExpiry,
        Self::LifeTooLong,
        Self::LogoutToken,
        Self::IdToken,
        Self::ProofOfPossession,
        Self::QueryTokenOff,
        Self::QueryTokenLife,
        Self::TicketShape,
        Self::TicketUnknown,
        Self::TicketSpent,
        Self::TicketExpired,
        Self::TicketOrigin,
        Self::OlderExpiry,
    ];

    /// The label in the audit trail and the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::TokenTooLong => "token_too_long",
            Self::TokenShape => "token_shape",
            Self::HeaderMalformed => "header_malformed",
            Self::HeaderMember => "header_member",
            Self::TokenType => "token_type",
            Self::Algorithm => "algorithm",
            Self::KeyIdForm => "key_id_form",
            Self::ClaimsMalformed => "claims_malformed",
            Self::IssuerUnknown => "issuer_unknown",
            Self::KeysMissing => "keys_missing",
            Self::KeyUnknown => "key_unknown",
            Self::KeyAmbiguous => "key_ambiguous",
            Self::KeyAlgorithm => "key_algorithm",
            Self::Signature => "signature",
            Self::ClaimMissing => "claim_missing",
            Self::ClaimType => "claim_type",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedLater => "issued_later",
            Self::IssuedAfterExpiry => "issued_after_expiry",
            Self::LifeTooLong => "life_too_long",
            Self::LogoutToken => "logout_token",
            Self::IdToken => "id_token",
            Self::ProofOfPossession => "proof_of_possession",
            Self::QueryTokenOff => "query_token_off",
            Self::QueryTokenLife => "query_token_life",
            Self::TicketShape => "ticket_shape",
            Self::TicketUnknown => "ticket_unknown",
            Self::TicketSpent => "ticket_spent",
            Self::TicketExpired => "ticket_expired",
            Self::TicketOrigin => "ticket_origin",
            Self::OlderExpiry => "older_expiry",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Reason;

    #[test]
    fn every_reason_has_a_label_of_its_own() {
        let labels: HashSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }
}
