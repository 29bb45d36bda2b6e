#include "testbed/history/workspace.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iterator>

#include "testbed/history/proof.h"

namespace p11ha::history {
namespace {

constexpr std::size_t kSharedOneIn = 8;

// The same clock for all applications.
std::uint64_t now() {
  return static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

}  // namespace

Line effect(const std::string& word, const ObjectKey& key) {
  return Line(word).put("name", key.name).put("class", key.objectClass);
}

Workspace::Workspace(const Token& token, const ApplicationOptions& options)
    : token_(token), options_(options), journal_(options.journal), other_(options.other) {
  for (const Line& line : JournalReader(options.journal).more()) {
    story_.add(options.name, line);
    if (line.word() == "ask") ++asked_;
  }
  note({Line("begin").put("t", now())});
}

Bytes Workspace::bytes(std::size_t size) {
  Bytes all;
  std::generate_n(std::back_inserter(all), size, [this] { return static_cast<std::uint8_t>(random_()); });
  return all;
}

std::string Workspace::newName() { return options_.name + "-" + std::to_string(asked_); }

bool Workspace::isShared(const ObjectKey& key) const {
  return std::strtoull(key.name.c_str() + key.name.find('-') + 1, nullptr, 10) % kSharedOneIn == 0;
}

std::optional<ObjectKey> Workspace::pick(Whose whose, const Wanted& wanted) {
  if (whose == Whose::Any) readOther();
  std::vector<const ObjectKey*> found;
  for (const auto& [key, object] : story_.objects()) {
    const bool own = object.owner == options_.name;
    if (!own && (whose != Whose::Any || !isShared(key))) continue;
    if (whose == Whose::OwnAlone && isShared(key)) continue;
    if (story_.presence(object) == Presence::Must && wanted(key, object)) found.push_back(&key);
  }
  if (found.empty()) return std::nullopt;
  return *found[below(found.size())];
}

std::size_t Workspace::own() const {
  return static_cast<std::size_t>(
      std::count_if(story_.objects().begin(), story_.objects().end(), [&](const auto& each) {
        return each.second.owner == options_.name && story_.presence(each.second) == Presence::Must;
      }));
}

std::optional<CK_OBJECT_HANDLE> Workspace::handleOf(const ObjectKey& key) {
  if (const auto known = handles_.find(key); known != handles_.end()) return known->second;
  const ObjectStory& object = story_.objects().at(key);
  std::vector<CK_OBJECT_HANDLE> found;
  for (const Bytes& label : story_.possible(object, CKA_LABEL)) {
    const auto some = token_.find({{CKA_CLASS, ofUlong(key.objectClass)}, {CKA_LABEL, label}});
    found.insert(found.end(), some.begin(), some.end());
  }
  if (found.size() != 1) {
    if (!isShared(key)) wrong(key, "found-" + std::to_string(found.size()) + "-times");
    return std::nullopt;
  }
  handles_[key] = found.front();
  return found.front();
}

CK_RV Workspace::call(const std::string& operation, std::vector<Line> effects, const std::function<CK_RV()>& made) {
  const std::size_t number = asked_++;
  effects.insert(effects.begin(), Line("ask").put("n", number).put("t", now()).put("op", operation));
  note(effects);
  const CK_RV rv = made();
  note({Line("answer").put("n", number).put("t", now()).put("rv", rv)});
  return rv;
}

void Workspace::see(const ObjectKey& key, CK_OBJECT_HANDLE handle, const Attributes& publicKey) {
  const ObjectStory& object = story_.objects().at(key);
  Line line = effect("seen", key);
  line.put(publicKey, key.objectClass == CKO_PUBLIC_KEY ? 'a' : 'p');
  if (key.objectClass == CKO_SECRET_KEY || key.objectClass == CKO_PRIVATE_KEY) {
    const Proof proof = prove(token_, handle, object.asked);
    const Attributes& known = publicKey.empty() ? object.publicKey : publicKey;
    if (proof.rv != CKR_OK) {
      wrong(key, "does-not-work-" + std::to_string(proof.rv));
    } else if (key.objectClass == CKO_PRIVATE_KEY ? !known.empty() && !fits(known, proof.answer)
                                                  : !object.proof.empty() && object.proof != proof.answer) {
      wrong(key, "is-another-key");
    } else if (key.objectClass == CKO_SECRET_KEY) {
      line.putBytes("proof", proof.answer);
    }
  }
  note({line});
  compare(key, handle);
}

// An application reads what it asked for, whichever member answers.
void Workspace::compare(const ObjectKey& key, CK_OBJECT_HANDLE handle) {
  const ObjectStory& object = story_.objects().at(key);
  std::vector<CK_ATTRIBUTE_TYPE> types;
  for (const auto& [type, value] : object.asked) types.push_back(type);
  const Attributes there = token_.read(handle, types);
  for (const auto& [type, value] : object.asked) {
    const auto found = there.find(type);
    if (found != there.end() && found->second == value) continue;
    wrong(key,
          "attribute-" + std::to_string(type) + "-reads-" + (found == there.end() ? "nothing" : inHex(found->second)));
  }
}

void Workspace::wrong(const ObjectKey& key, const std::string& what) {
  note({effect("wrong", key).put("what", what).put("t", now())});
}

void Workspace::note(const std::vector<Line>& lines) {
  journal_.write(lines);
  for (const Line& line : lines) story_.add(options_.name, line);
}

void Workspace::readOther() {
  if (options_.other.empty()) return;
  for (const Line& line : other_.more()) story_.add("other", line);
}

}  // namespace p11ha::history
