#include "testbed/history/check.h"

#include <algorithm>
#include <sstream>

#include "testbed/history/proof.h"

namespace p11ha::history {
namespace {

// By these p11ha's own objects are known, whatever else they are.
constexpr char kOwnApplication[] = "p11ha";
constexpr char kDomainKeyId[] = "p11ha domain key";

bool isOwn(const Attributes& attributes) {
  return ulongOf(attributes, CKA_CLASS) == CKO_DATA ? textOf(attributes, CKA_APPLICATION) == kOwnApplication
                                                    : textOf(attributes, CKA_ID) == kDomainKeyId;
}

std::string named(const ObjectKey& key) {
  static const std::map<CK_OBJECT_CLASS, std::string> kClasses = {{CKO_DATA, "data"},
                                                                  {CKO_CERTIFICATE, "certificate"},
                                                                  {CKO_PUBLIC_KEY, "public key"},
                                                                  {CKO_PRIVATE_KEY, "private key"},
                                                                  {CKO_SECRET_KEY, "secret key"}};
  const auto found = kClasses.find(key.objectClass);
  return key.name + " (" + (found == kClasses.end() ? std::to_string(key.objectClass) : found->second) + ")";
}

std::string named(CK_ATTRIBUTE_TYPE type) {
  static const std::map<CK_ATTRIBUTE_TYPE, std::string> kNames = {
      {CKA_LABEL, "CKA_LABEL"}, {CKA_ID, "CKA_ID"}, {CKA_VALUE, "CKA_VALUE"}};
  const auto found = kNames.find(type);
  if (found != kNames.end()) return found->second;
  std::ostringstream out;
  out << "attribute 0x" << std::hex << type;
  return out.str();
}

// For people: text where it is one.
std::string shown(CK_ATTRIBUTE_TYPE type, const Bytes& value) {
  if (type == CKA_LABEL) return std::string(value.begin(), value.end());
  const std::string hex = inHex(value);
  return hex.size() <= 40 ? hex : hex.substr(0, 40) + "...";
}

// The one that an application asks to be non-extractable is held in a shape that only trusted keys wrap (CLONING.md).
bool isSealedShape(CK_ATTRIBUTE_TYPE type, const Attributes& asked, const Attributes& held) {
  return (type == CKA_EXTRACTABLE || type == CKA_WRAP_WITH_TRUSTED) && isFalse(asked, CKA_EXTRACTABLE) &&
         isTrue(held, CKA_SENSITIVE) && isTrue(held, CKA_WRAP_WITH_TRUSTED);
}

class Checker {
 public:
  Checker(const Story& story, const std::vector<MemberListing>& members) : story_(story), members_(members) {}

  Findings check() {
    findings_.wrong = story_.wrong();
    for (const MemberListing& member : members_) sort(member);
    for (const auto& [key, object] : story_.objects()) checkCalls(key, object);
    for (const auto& [key, object] : story_.objects()) checkPresence(key, object);
    return findings_;
  }

 private:
  struct Held {
    const MemberListing* member;
    Attributes attributes;
    Bytes proof;
    CK_RV failed;
  };

  void wrong(const std::string& what, const ObjectKey& key, const std::string& more) {
    findings_.wrong.push_back(what + ": " + named(key) + " " + more);
  }

  // Which of the objects is which.
  void sort(const MemberListing& member) {
    for (const Line& line : member.objects) {
      Held held{&member, line.attributes(), line.bytes("proof"), line.number("failed")};
      if (isOwn(held.attributes)) {
        ++findings_.own;
        continue;
      }
      const ObjectKey key{nameOfLabel(textOf(held.attributes, CKA_LABEL)), ulongOf(held.attributes, CKA_CLASS)};
      if (story_.objects().count(key) == 0) {
        wrong("extra", key, "on " + member.name + ", which nobody asked for");
        continue;
      }
      std::vector<Held>& all = held_[key];
      if (!all.empty() && all.back().member == &member) {
        wrong("extra", key, "twice on " + member.name);
      } else {
        all.push_back(std::move(held));
      }
    }
  }

  // Nothing is done to what has been destroyed.
  void checkCalls(const ObjectKey& key, const ObjectStory& object) {
    for (const std::size_t ended : object.destroyed) {
      for (const ObjectStory::Change& change : object.changes) {
        const AskedCall& call = story_.call(change.call);
        if (story_.call(ended).done() && call.done() && call.begin > story_.call(ended).end) {
          wrong("resurrected", key, "changed by " + call.application + " after it had been destroyed");
        }
      }
    }
  }

  void checkPresence(const ObjectKey& key, const ObjectStory& object) {
    const std::vector<Held>& held = held_[key];
    const Presence presence = story_.presence(object);
    if (presence == Presence::MustNot) {
      for (const Held& each : held) wrong("resurrected", key, "on " + each.member->name);
      return;
    }
    if (held.size() < members_.size() && (presence == Presence::Must || !held.empty())) {
      for (const MemberListing& member : members_) {
        bool there = false;
        for (const Held& each : held) there = there || each.member == &member;
        if (there) continue;
        wrong(presence == Presence::Must ? "lost" : "not everywhere", key, "not on " + member.name);
      }
    }
    if (held.empty()) return;
    checkHalves(key, object);
    ++findings_.objects;
    if (presence == Presence::May) ++findings_.leftOver;
    for (const Held& each : held) checkHeld(key, object, each);
    checkAlike(key, held);
  }

  // Of a pair whose call was not answered well: both halves or neither.
  void checkHalves(const ObjectKey& key, const ObjectStory& object) {
    if (!story_.isLeftOver(object)) return;
    const ObjectKey other{key.name, key.objectClass == CKO_PRIVATE_KEY ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY};
    if (key.objectClass != CKO_PRIVATE_KEY && key.objectClass != CKO_PUBLIC_KEY) return;
    const auto half = story_.objects().find(other);
    if (half != story_.objects().end() && half->second.made == object.made && held_[other].empty()) {
      wrong("extra", key, "half a pair");
    }
  }

  void checkHeld(const ObjectKey& key, const ObjectStory& object, const Held& held) {
    for (const auto& [type, asked] : object.asked) {
      if (type == CKA_VALUE_LEN || isSealedShape(type, object.asked, held.attributes)) continue;  // see listing.cc
      const std::vector<Bytes> possible = story_.possible(object, type);
      const auto found = held.attributes.find(type);
      if (found != held.attributes.end() &&
          std::find(possible.begin(), possible.end(), found->second) != possible.end()) {
        continue;
      }
      std::string expected;
      for (const Bytes& value : possible) expected += (expected.empty() ? "" : " or ") + shown(type, value);
      wrong("changed", key,
            named(type) + " on " + held.member->name + " is " +
                (found == held.attributes.end() ? "missing" : shown(type, found->second)) + " instead of " + expected);
    }
    checkProof(key, object, held);
  }

  void checkProof(const ObjectKey& key, const ObjectStory& object, const Held& held) {
    if (held.failed != CKR_OK) {
      std::ostringstream rv;
      rv << std::hex << held.failed;
      wrong("does not work", key, "on " + held.member->name + ": 0x" + rv.str());
      return;
    }
    if (key.objectClass == CKO_PRIVATE_KEY) {
      const Attributes publicKey = publicKeyOf(key, object);
      if (!publicKey.empty() && !fits(publicKey, held.proof)) {
        wrong("another key", key, "on " + held.member->name + ": its signature does not fit the public key");
      }
    } else if (!object.proof.empty() && object.proof != held.proof) {
      wrong("another key", key, "on " + held.member->name + ": its answer is not the one that was seen before");
    }
  }

  // As the application saw it; if it died before, what the first member has.
  Attributes publicKeyOf(const ObjectKey& key, const ObjectStory& object) {
    if (!object.publicKey.empty()) return object.publicKey;
    const std::vector<Held>& half = held_[{key.name, CKO_PUBLIC_KEY}];
    return half.empty() ? Attributes() : publicParts(half.front().attributes);
  }

  void checkAlike(const ObjectKey& key, const std::vector<Held>& held) {
    const Held& first = held.front();
    for (const Held& each : held) {
      if (key.objectClass == CKO_SECRET_KEY && each.proof != first.proof) {
        wrong("differs", key, "is another key on " + each.member->name + " than on " + first.member->name);
      }
      for (const auto& [type, value] : each.attributes) {
        const auto found = first.attributes.find(type);
        if (found != first.attributes.end() && found->second == value) continue;
        wrong("differs", key,
              named(type) + " on " + each.member->name + " is " + shown(type, value) + ", on " + first.member->name +
                  " " + (found == first.attributes.end() ? "missing" : shown(type, found->second)));
      }
      for (const auto& [type, value] : first.attributes) {
        if (each.attributes.count(type) != 0) continue;
        wrong("differs", key, named(type) + " on " + each.member->name + " is missing");
      }
    }
  }

  const Story& story_;
  const std::vector<MemberListing>& members_;
  std::map<ObjectKey, std::vector<Held>> held_;  // by member, in their order
  Findings findings_;
};

}  // namespace

Findings check(const Story& story, const std::vector<MemberListing>& members) {
  return Checker(story, members).check();
}

}  // namespace p11ha::history
