//! What all fanouts know together: limits that are spent, sessions that may be recovered, tokens that are revoked.
