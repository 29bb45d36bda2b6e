#include "ha/notes/on_member.h"

#include <algorithm>

namespace p11ha::ha::notes {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

bool isOurs(std::span<const std::uint8_t> application) {
  return std::equal(application.begin(), application.end(), kApplication.begin(), kApplication.end());
}

bool isNote(const Identity& identity) {
  if (identity.objectClass != CKO_DATA || !identity.token) return false;
  const Template material = materialAttributes(identity);
  const auto application = material.find(CKA_APPLICATION);
  return application && isOurs(*application);
}

std::optional<Note> noteOf(const Identity& identity) {
  if (!isNote(identity)) return std::nullopt;
  const Template material = materialAttributes(identity);
  const auto value = material.find(CKA_VALUE);
  if (!value) return std::nullopt;
  auto note = decode(*value);
  if (note && note->about().isPrivate != identity.isPrivate) return std::nullopt;
  return note;
}

Template queryForAll() {
  Template query;
  query.addUlong(CKA_CLASS, CKO_DATA);
  query.addText(CKA_APPLICATION, kApplication);
  return query;
}

Template templateOf(const Note& note) {
  Template wanted;
  const std::vector<std::uint8_t> value = encode(note);
  if (value.empty()) return wanted;
  wanted.addUlong(CKA_CLASS, CKO_DATA);
  wanted.addBool(CKA_TOKEN, true);
  wanted.addBool(CKA_PRIVATE, note.about().isPrivate);
  wanted.addText(CKA_APPLICATION, kApplication);
  wanted.addText(CKA_LABEL, labelOf(note));
  wanted.addBytes(CKA_VALUE, value);
  return wanted;
}

Outcome write(cryptoki::Member& member, CK_SESSION_HANDLE session, const Note& note, CK_OBJECT_HANDLE& handle) {
  Template wanted = templateOf(note);
  if (wanted.empty()) return {CKR_DATA_LEN_RANGE};
  return member.execute(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &handle));
}

}  // namespace p11ha::ha::notes
