// A haErrorLog.txt as it was written, and what was to be written, to the character.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/ha_table.h"

namespace p11ha::tests {

/// What is behind the prefix of each line of a log of that process and that group, in order. The prefix is the
/// reference's: a date as ctime writes it, the process, the group. A line that has another one, an unfinished line, and
/// a `p11ha: ` line that is none of tests/golden/ha_messages_p11ha.txt fail the test.
std::vector<std::string> haTexts(const std::string& log, pid_t process, const std::string& group);

/// A line that a log has to have.
struct ExpectedLine {
  std::string event;
  HaValues values{};       // beyond the member's serial number and the attempt's number
  bool anyNumber = false;  // of lines one after the other, at least one
};

/// The lines among `texts` that are about that member, against those that there should be: all of them, in order, and
/// no other. Attempts must be numbered from 1 in each outage. "": the lines about no member.
void expectHistory(const std::vector<std::string>& texts, const std::string& member,
                   const std::vector<ExpectedLine>& expected);

/// True if a line of the log is that message, about that member unless it is "".
bool isLogged(const std::string& log, const HaMessage& message, const std::string& member = {});

}  // namespace p11ha::tests
