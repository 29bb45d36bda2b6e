// What a module answered to a script: one entry for each call, in a form that two modules can be compared in.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace p11ha::conformance {

/// One thing a call gave back, by name: an output argument, a field of a structure, an attribute.
struct Output {
  std::string name;
  std::string value;
  friend bool operator==(const Output&, const Output&) = default;
};

/// The rv of a call in which the module ended the process and of one that was left out because the
/// reference had.
inline constexpr std::string_view kDied = "died";
inline constexpr std::string_view kLeftOut = "left out";

/// A call. Which call of the script it is, tell section and number: scripts may do different things once answers
/// differ, and sections are where they come together again.
struct Entry {
  std::string section;
  unsigned number = 0;  // in its section, from 1
  std::string function;
  std::string state;      // of the session's operations before the call: "none", "Sign", "Sign fed", "Digest + Sign"
  std::string standing;   // of the session: "RW user"; "no session", "uninitialised"
  std::string situation;  // what is special about the arguments
  std::string rv;
  std::vector<Output> outputs;
};

/// Of one scenario.
using Transcript = std::vector<Entry>;

/// A call's two lines: the first is written before the call is made, so that a reader knows what the module was asked
/// when it died. No text in them may hold a tab or a line end: escaped() sees to that.
std::string callLine(const Entry& entry);
std::string answerLine(const Entry& entry);
std::string escaped(std::string_view text);

/// Reads what was written; an entry without an answer died. Throws std::runtime_error on anything else.
Transcript readTranscript(std::istream& in);

/// "section 3: C_Sign(data NULL) in Sign, RW user".
std::string describe(const Entry& entry);

}  // namespace p11ha::conformance
