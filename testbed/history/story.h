// What must have become of every object, from the journals of all applications.
//
// A journal has these lines:
//   begin t=TIME                              an application begins, or goes on
//   ask n=N t=TIME op=OPERATION               it is about to make a call; then, in the same write, what that will do:
//     make name=NAME class=C a.*  p.*  proof=   an object of these attributes; of that public key; known by that proof
//     set name=NAME class=C a.*
//     destroy name=NAME class=C
//   answer n=N t=TIME rv=RV
//   seen name=NAME class=C a.* p.* proof=     what is known of the object once it is there
//   wrong what=TEXT name=NAME class=C         the application itself saw something that must not be
#pragma once

#include <compare>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "testbed/history/line.h"

namespace p11ha::history {

/// An object's name is its label up to the first '.', and never changes; two objects of one name are the halves of a
/// key pair.
struct ObjectKey {
  std::string name;
  CK_OBJECT_CLASS objectClass = 0;
  // clang-tidy takes what a defaulted one compares with for a null pointer.
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;  // NOLINT(modernize-use-nullptr)
};
std::string nameOfLabel(const std::string& label);

struct AskedCall {
  std::string application;
  std::string operation;
  std::uint64_t begin = 0;
  std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
  std::optional<CK_RV> rv;  // nothing: cut off by the application's death

  bool done() const { return rv == CKR_OK; }
};

struct ObjectStory {
  struct Change {
    std::size_t call = 0;
    Attributes to;
  };
  std::string owner;
  std::optional<std::size_t> made;  // the call
  Attributes asked;
  Attributes publicKey;
  Bytes proof;
  std::vector<Change> changes;
  std::vector<std::size_t> destroyed;
};

enum class Presence : std::uint8_t { Must, May, MustNot };

/// Plain data of its holder; one thread.
class Story {
 public:
  void add(const std::string& application, const Line& line);

  const std::map<ObjectKey, ObjectStory>& objects() const { return objects_; }
  const std::vector<AskedCall>& calls() const { return calls_; }
  const std::vector<std::string>& wrong() const { return wrong_; }
  const AskedCall& call(std::size_t index) const { return calls_[index]; }

  Presence presence(const ObjectStory& object) const;
  /// Whether it is there only as what is left of a call that was not answered CKR_OK.
  bool isLeftOver(const ObjectStory& object) const { return !object.made || !call(*object.made).done(); }
  /// The values that it may have, in whatever order overlapping calls took effect, each once. None: nobody asked for
  /// one.
  std::vector<Bytes> possible(const ObjectStory& object, CK_ATTRIBUTE_TYPE type) const;

 private:
  std::map<ObjectKey, ObjectStory> objects_;
  std::vector<AskedCall> calls_;
  std::map<std::string, std::size_t> asking_;  // the call that is not answered yet, by application
  std::vector<std::string> wrong_;
};

}  // namespace p11ha::history
