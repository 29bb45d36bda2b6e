// Notes on a member: written, read and taken away.
#pragma once

#include "cryptoki/member.h"
#include "cryptoki/template.h"
#include "ha/notes/note.h"

namespace p11ha::ha::notes {

/// Is that the CKA_APPLICATION of a note?
bool isOurs(std::span<const std::uint8_t> application);
/// Is it a note, or what somebody planted as one? The application never sees it.
bool isNote(const Identity& identity);
/// The note that an object is whose identity was read; nothing where it is none, or not what encode() makes, or not as
/// private as what it is about: whoever can make public objects cannot speak of private ones.
std::optional<Note> noteOf(const Identity& identity);

/// What finds all notes, and whatever else bears their CKA_APPLICATION.
cryptoki::Template queryForAll();

/// The template of the data object that the note is; empty where it is too long (encode()). May throw std::bad_alloc.
cryptoki::Template templateOf(const Note& note);

/// Writes the note in that read-write session. CKR_DATA_LEN_RANGE, without asking the member, for one that is too long
/// (encode()); else the member's outcome. Blocks as the member's call does. May throw std::bad_alloc.
cryptoki::Outcome write(cryptoki::Member& member, CK_SESSION_HANDLE session, const Note& note,
                        CK_OBJECT_HANDLE& handle);

}  // namespace p11ha::ha::notes
