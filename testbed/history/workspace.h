// What an application of a history works with: its token, its journal, what it knows of its objects.
#pragma once

#include <functional>
#include <optional>
#include <random>

#include "testbed/history/journal.h"
#include "testbed/history/story.h"
#include "testbed/history/token.h"

namespace p11ha::history {

struct ApplicationOptions {
  std::string name;     // in its objects' labels: an upper-case letter
  std::string journal;  // goes on with it, if it is there
  std::string other;    // the other application's, if there is one
  std::string state;    // a file: which members it sees serving, as "101"
  std::uint64_t seed = 1;
  std::size_t operations = 2500;
  std::vector<std::string> only;  // operations; all where empty
  bool sealed = false;            // makes non-extractable keys, too
};

/// One thread. Whatever cannot be journalled throws std::runtime_error.
class Workspace {
 public:
  Workspace(const Token& token, const ApplicationOptions& options);

  const Token& token() const { return token_; }
  const Story& story() const { return story_; }
  const ApplicationOptions& options() const { return options_; }
  /// Calls that have been asked for, by those before it in this journal, too.
  std::size_t asked() const { return asked_; }

  /// Before each operation, so that what it draws depends on the seed and on where in the history it is only.
  void drawFor(std::size_t operation) { random_.seed(options_.seed * 1'000'003 + operation); }
  std::size_t below(std::size_t bound) { return random_() % bound; }
  bool oneIn(std::size_t n) { return below(n) == 0; }
  Bytes bytes(std::size_t size);

  /// A new object's name, which is its label too. Every eighth object may be changed and destroyed by both
  /// applications.
  std::string newName();

  /// One that is there, by all this application knows, is its own or shared by the other one, and is wanted.
  using Wanted = std::function<bool(const ObjectKey&, const ObjectStory&)>;
  enum class Whose : std::uint8_t { Own, OwnAlone, Any };
  std::optional<ObjectKey> pick(Whose whose, const Wanted& wanted);
  std::size_t own() const;

  /// On the group. Nothing: the other application has changed or destroyed it; or it is lost, which is journalled.
  std::optional<CK_OBJECT_HANDLE> handleOf(const ObjectKey& key);
  void keep(const ObjectKey& key, CK_OBJECT_HANDLE handle) { handles_[key] = handle; }

  /// Journals what is asked, makes the call and journals the answer.
  CK_RV call(const std::string& operation, std::vector<Line> effects, const std::function<CK_RV()>& made);
  /// Journals what is known of the object now: its proof; public parts of it or of its pair.
  void see(const ObjectKey& key, CK_OBJECT_HANDLE handle, const Attributes& publicKey);
  void wrong(const ObjectKey& key, const std::string& what);

 private:
  void note(const std::vector<Line>& lines);
  void compare(const ObjectKey& key, CK_OBJECT_HANDLE handle);
  void readOther();
  bool isShared(const ObjectKey& key) const;

  const Token& token_;
  const ApplicationOptions& options_;
  Journal journal_;
  JournalReader other_;
  Story story_;
  std::size_t asked_ = 0;
  std::mt19937_64 random_;
  std::map<ObjectKey, CK_OBJECT_HANDLE> handles_;
};

/// `make`, `set` or `destroy`, of that object.
Line effect(const std::string& word, const ObjectKey& key);

}  // namespace p11ha::history
