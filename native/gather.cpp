#include "gather.hpp"

#include <algorithm>
#include <cmath>

namespace edgeperso {
namespace {

float standardized(float score, const FoundBy& of) {
    if (of.deviation < 1e-6f) {
        return 0.0f;
    }
    const float distance = (score - of.mean) / of.deviation;
    return std::isnan(distance) ? 0.0f : distance;
}

// Where among `rows` (ascending) `wanted` is, -1 where it isn't: mostly at `guess`.
std::int64_t place_of(std::int64_t wanted, std::int64_t guess, const std::vector<std::int64_t>& rows) {
    const auto n = static_cast<std::int64_t>(rows.size());
    if (wanted < 0) {
        return -1;
    }
    if (guess >= 0 && guess < n && rows[static_cast<std::size_t>(guess)] == wanted) {
        return guess;
    }
    const auto place = std::lower_bound(rows.begin(), rows.end(), wanted);
    return place != rows.end() && *place == wanted ? place - rows.begin() : -1;
}

}  // namespace

std::vector<Gatherer::Row> Gatherer::merged(const FoundBy& by_vector, const FoundBy& by_words) {
    std::vector<Row> rows;
    rows.reserve(by_vector.rows.size() + by_words.rows.size());
    for (std::size_t i = 0; i < by_vector.rows.size(); ++i) {
        rows.push_back({by_vector.rows[i], by_vector.scores[i], 0.0f, true, false});
    }
    for (std::size_t i = 0; i < by_words.rows.size(); ++i) {
        rows.push_back({by_words.rows[i], 0.0f, by_words.scores[i], false, true});
    }
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.row < b.row; });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (kept > 0 && rows[kept - 1].row == rows[i].row) {
            Row& both = rows[kept - 1];
            both.cosine = both.has_cosine ? both.cosine : rows[i].cosine;
            both.words = both.has_words ? both.words : rows[i].words;
            both.has_cosine = both.has_words = true;
        } else {
            rows[kept++] = rows[i];
        }
    }
    rows.resize(kept);
    return rows;
}

// Gives each row both scores.
void Gatherer::complete(std::vector<Row>& rows) const {
    std::vector<std::int64_t> without_cosine;
    std::vector<std::int64_t> without_words;
    for (const Row& row : rows) {
        if (!row.has_cosine) {
            without_cosine.push_back(row.row);
        }
        if (!row.has_words) {
            without_words.push_back(row.row);
        }
    }
    std::vector<float> cosines(without_cosine.size());
    std::vector<float> words(without_words.size());
    dense_.estimates(run_, codes_.data(), without_cosine.data(), without_cosine.size(), cosines.data());
    lexical_.at(terms_, without_words.data(), without_words.size(), words.data());
    std::size_t cosine = 0;
    std::size_t word = 0;
    for (Row& row : rows) {
        if (!row.has_cosine) {
            row.cosine = cosines[cosine++] * scale_;
        }
        if (!row.has_words) {
            row.words = words[word++];
        }
        row.has_cosine = row.has_words = true;
    }
}

// The rows beside the leading ones of `best` that aren't among them, ascending, without scores.
std::vector<Gatherer::Row> Gatherer::beside(const std::vector<Row>& best, const FoundBy& by_vector,
                                            const FoundBy& by_words, std::size_t leading, std::size_t steps) const {
    std::vector<Scored> order(best.size());
    for (std::size_t i = 0; i < best.size(); ++i) {
        order[i] = {standardized(best[i].cosine, by_vector) + standardized(best[i].words, by_words),
                    static_cast<std::uint32_t>(i)};
    }
    if (leading < order.size()) {
        std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(leading), order.end(), better);
        order.resize(leading);
    }
    std::vector<std::int64_t> found;
    for (const Scored& one : order) {
        for (const std::span<const std::int32_t> chain : {links_.previous, links_.next}) {
            std::int64_t at = best[one.row].row;
            for (std::size_t step = 0; step < steps; ++step) {
                at = chain[static_cast<std::size_t>(at)];
                if (at < 0 || static_cast<std::size_t>(at) >= chain.size()) {
                    break;
                }
                found.push_back(at);
            }
        }
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    std::vector<Row> rows;
    auto known = best.begin();
    for (const std::int64_t row : found) {
        while (known != best.end() && known->row < row) {
            ++known;
        }
        if (known == best.end() || known->row != row) {
            rows.push_back({row});
        }
    }
    return rows;
}

Gathered Gatherer::gather(const FoundBy& by_vector, const FoundBy& by_words, std::size_t leading,
                          std::size_t steps) const {
    std::vector<Row> best = merged(by_vector, by_words);
    complete(best);
    std::vector<Row> others = beside(best, by_vector, by_words, leading, steps);
    complete(others);
    std::vector<Row> rows(best.size() + others.size());
    std::merge(best.begin(), best.end(), others.begin(), others.end(), rows.begin(),
               [](const Row& a, const Row& b) { return a.row < b.row; });
    Gathered out;
    for (const Row& row : rows) {
        out.rows.push_back(row.row);
        out.cosines.push_back(row.cosine);
        out.words.push_back(row.words);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto row = static_cast<std::size_t>(out.rows[i]);
        const auto place = static_cast<std::int64_t>(i);
        out.previous.push_back(place_of(links_.previous[row], place - 1, out.rows));
        out.next.push_back(place_of(links_.next[row], place + 1, out.rows));
    }
    return out;
}

}  // namespace edgeperso
