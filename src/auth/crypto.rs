//! The crypto library under the tokens: chosen by name at the start and tried out once, so that a build with the wrong one, or
//! with two, fails there and not at the first person.

use jsonwebtoken::{Algorithm, crypto::aws_lc};

use crate::auth::{
    keys::{SignatureRules, VerifyingKey},
    mint::{Minter, TokenSpec},
};

/// Signatures do not work here: nothing can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the crypto library failed its test: a token that was just signed does not verify, or a forged one does"
)]
pub struct CryptoError;

/// Chooses aws-lc for tokens and tries it: signs, verifies, forges. Called first in `main`; calling it again is harmless.
pub fn install_crypto() -> Result<(), CryptoError> {
    // An error means that it is installed already, by us: nobody else in this process may name jsonwebtoken.
    aws_lc::DEFAULT_PROVIDER.install_default().ok();
    self_test()
}

fn self_test() -> Result<(), CryptoError> {
    let (minter, other) = (
        Minter::ephemeral().map_err(|_| CryptoError)?,
        Minter::ephemeral().map_err(|_| CryptoError)?,
    );
    let token = minter
        .mint(&TokenSpec::new("self-test", "self-test", "self-test"), 0)
        .map_err(|_| CryptoError)?;
    let rules = SignatureRules {
        issuer: "self-test".to_owned(),
        audience: Some(vec!["self-test".to_owned()]),
        algorithms: vec![Algorithm::ES256],
    };
    let verifies = |minter: &Minter| {
        VerifyingKey::new(minter.key().clone(), &rules, None)
            .is_some_and(|key| key.verify(&token, Algorithm::ES256).is_ok())
    };
    if verifies(&minter) && !verifies(&other) {
        Ok(())
    } else {
        Err(CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use super::install_crypto;

    #[test]
    fn the_installed_library_signs_and_verifies_however_often_it_is_installed() {
        assert_eq!(install_crypto(), Ok(()));
        assert_eq!(install_crypto(), Ok(()));
    }
}
