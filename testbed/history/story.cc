#include "testbed/history/story.h"

#include <algorithm>

namespace p11ha::history {

std::string nameOfLabel(const std::string& label) { return label.substr(0, label.find('.')); }

void Story::add(const std::string& application, const Line& line) {
  const std::string& word = line.word();
  if (word == "begin") {
    asking_.erase(application);
    return;
  }
  if (word == "ask") {
    asking_[application] = calls_.size();
    AskedCall& call = calls_.emplace_back();
    call.application = application;
    call.operation = line.text("op");
    call.begin = line.number("t");
    return;
  }
  if (word == "wrong") {
    wrong_.push_back("application " + application + ": " + line.text("name") + " (class " + line.text("class") +
                     "): " + line.text("what"));
    return;
  }
  const auto asking = asking_.find(application);
  if (word == "answer") {
    if (asking != asking_.end()) {
      calls_[asking->second].end = line.number("t");
      calls_[asking->second].rv = line.number("rv");
      asking_.erase(asking);
    }
    return;
  }
  ObjectStory& object = objects_[{line.text("name"), line.number("class")}];
  const Attributes attributes = line.attributes();
  if (word == "make" || word == "seen") {
    object.asked.insert(attributes.begin(), attributes.end());
    const Attributes parts = line.attributes('p');
    object.publicKey.insert(parts.begin(), parts.end());
    if (object.proof.empty()) object.proof = line.bytes("proof");
  }
  if (asking == asking_.end()) return;
  if (word == "make") {
    object.owner = application;
    object.made = asking->second;
  } else if (word == "set") {
    object.changes.push_back({asking->second, attributes});
  } else if (word == "destroy") {
    object.destroyed.push_back(asking->second);
  }
}

Presence Story::presence(const ObjectStory& object) const {
  const auto done = [&](std::size_t index) { return call(index).done(); };
  if (std::any_of(object.destroyed.begin(), object.destroyed.end(), done)) return Presence::MustNot;
  return object.destroyed.empty() && !isLeftOver(object) ? Presence::Must : Presence::May;
}

std::vector<Bytes> Story::possible(const ObjectStory& object, CK_ATTRIBUTE_TYPE type) const {
  struct Write {
    const AskedCall* call;
    const Bytes* value;
  };
  std::vector<Write> writes;
  const auto note = [&](std::size_t index, const Attributes& attributes) {
    const auto found = attributes.find(type);
    if (found != attributes.end()) writes.push_back({&call(index), &found->second});
  };
  if (object.made) note(*object.made, object.asked);
  for (const ObjectStory::Change& change : object.changes) note(change.call, change.to);
  std::vector<Bytes> values;
  for (const Write& write : writes) {
    const bool over = std::any_of(writes.begin(), writes.end(), [&](const Write& later) {
      return later.call->done() && later.call->begin > write.call->end;
    });
    if (!over && std::find(values.begin(), values.end(), *write.value) == values.end()) values.push_back(*write.value);
  }
  return values;
}

}  // namespace p11ha::history
