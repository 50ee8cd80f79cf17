//! from_whatsapp.
