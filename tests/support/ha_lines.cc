#include "tests/support/ha_lines.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

namespace p11ha::tests {
namespace {

const std::string kOwn = "p11ha: ";

std::string quoted(const std::string& text) {
  static const std::regex special(R"([.^$|()\[\]{}*+?\\])");
  return std::regex_replace(text, special, R"(\$&)");
}

// A text of the golden files without <MessagePrefix> and the blank behind it.
std::string withoutPrefix(const std::string& text) {
  static const std::string prefix = "<MessagePrefix> ";
  EXPECT_TRUE(text.starts_with(prefix)) << text;
  return text.substr(prefix.size());
}

std::string patternOf(const std::string& text) {
  static const std::regex placeholder("<[A-Za-z]+>");
  return std::regex_replace(quoted(withoutPrefix(text)), placeholder, ".+");
}

bool isOwn(const std::string& text) {
  const auto& all = ownMessages();
  return std::any_of(all.begin(), all.end(),
                     [&](const std::string& own) { return std::regex_match(text, std::regex(patternOf(own))); });
}

// An attempt is over with these, an outage begins or attempts are counted anew with those.
bool endsAttempt(const std::string& event) { return event == "RecoveryFailed" || event == "StillNotActivated"; }
bool startsCount(const std::string& event) {
  static const std::set<std::string> events = {"DropMember", "MemberDeactivated", "ReenableMember", "NewMember",
                                               "Recovered"};
  return events.contains(event);
}

class History {
 public:
  History(std::vector<std::string> lines, std::string member) : lines_(std::move(lines)), member_(std::move(member)) {}

  void expect(const ExpectedLine& expected) {
    std::size_t times = 0;
    while (at_ < lines_.size() && (times == 0 || expected.anyNumber) && lines_[at_] == wanted(expected)) {
      ++times;
      ++at_;
      if (endsAttempt(expected.event)) ++attempts_;
      if (startsCount(expected.event)) attempts_ = 0;
    }
    EXPECT_GT(times, 0U) << "line " << at_ + 1 << " of " << all() << "should be: " << wanted(expected);
  }
  void expectEnd() const { EXPECT_EQ(at_, lines_.size()) << "more lines than there should be: " << all(); }

 private:
  std::string wanted(const ExpectedLine& expected) const {
    HaValues values = expected.values;
    const std::string attempt = std::to_string(attempts_ + 1);
    values.insert({{"<SerialNumber>", {member_}},
                   {"<TokenNumber>", {member_}},
                   {"<AttemptNumber>", {attempt}},
                   {"<Integer>", {attempt}}});
    return filledIn(withoutPrefix(haMessage(expected.event).text), values);
  }
  std::string all() const {
    std::string text = (member_.empty() ? "no member" : member_) + ":\n";
    for (const std::string& line : lines_) text += "  " + line + "\n";
    return text;
  }

  const std::vector<std::string> lines_;
  const std::string member_;
  std::size_t at_ = 0;
  unsigned attempts_ = 0;
};

}  // namespace

std::vector<std::string> haTexts(const std::string& log, pid_t process, const std::string& group) {
  const std::regex prefix(
      "(Sun|Mon|Tue|Wed|Thu|Fri|Sat) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ( [1-9]|[12][0-9]|3[01]) "
      "([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60) 2[0-9]{3} : \\[" +
      std::to_string(process) + "\\] HA group: " + quoted(group) + " (.*)");
  EXPECT_TRUE(log.empty() || log.ends_with('\n')) << log;
  std::vector<std::string> texts;
  for (std::size_t at = 0, end = 0; (end = log.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = log.substr(at, end - at);
    std::smatch parts;
    if (!std::regex_match(line, parts, prefix)) {
      ADD_FAILURE() << "no prefix of the reference: " << line;
      continue;
    }
    texts.push_back(parts.str(6));
    EXPECT_TRUE(!texts.back().starts_with(kOwn) || isOwn(texts.back())) << line;
  }
  return texts;
}

void expectHistory(const std::vector<std::string>& texts, const std::string& member,
                   const std::vector<ExpectedLine>& expected) {
  static const std::regex serial("(^|[^0-9a-f])[0-9a-f]{16}($|[^0-9a-f])");
  std::vector<std::string> about;
  for (const std::string& text : texts) {
    if (text.starts_with(kOwn)) continue;
    const bool isAbout = member.empty() ? !std::regex_search(text, serial) : text.find(member) != std::string::npos;
    if (isAbout) about.push_back(text);
  }
  History history(std::move(about), member);
  for (const ExpectedLine& line : expected) history.expect(line);
  history.expectEnd();
}

bool isLogged(const std::string& log, const HaMessage& message, const std::string& member) {
  const std::regex pattern(".*\\] HA group: [^ ]+ (" + patternOf(message.text) + ")");
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(member) != std::string::npos && std::regex_match(line, pattern)) return true;
  }
  return false;
}

}  // namespace p11ha::tests
